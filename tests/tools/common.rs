//! What the end-to-end tests share: a folder to work in, and the built binaries run in it.

#![allow(dead_code, reason = "each test file uses a part")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// A folder of its own to run the tools in.
pub struct Sandbox(TempDir);

/// What a tool did.
pub struct Done {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// The path of a built binary.
pub fn binary(tool: &str) -> &'static str {
    match tool {
        "prep" => env!("CARGO_BIN_EXE_prep"),
        "train" => env!("CARGO_BIN_EXE_train"),
        "sample" => env!("CARGO_BIN_EXE_sample"),
        "fid" => env!("CARGO_BIN_EXE_fid"),
        _ => panic!("{tool}: no such tool"),
    }
}

impl From<Output> for Done {
    fn from(output: Output) -> Done {
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Done { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

impl Done {
    /// The one line of stdout, of a tool that succeeded.
    pub fn line(&self) -> &str {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        let line = self.stdout.strip_suffix('\n').expect("a line on stdout");
        assert!(!line.contains('\n'), "more than one line: {line}");
        line
    }

    /// stdout as one JSON object, of a tool that succeeded.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(self.line()).expect("JSON")
    }

    /// The one line on stderr without the tool's name, of a tool that failed with `code` and an empty stdout.
    pub fn failure(&self, code: i32) -> &str {
        assert_eq!(self.code, Some(code), "stdout {}\nstderr {}", self.stdout, self.stderr);
        assert_eq!(self.stdout, "");
        let line = self.stderr.strip_suffix('\n').expect("a line on stderr");
        assert!(!line.contains('\n'), "more than one line: {line}");
        line.split_once(": ").expect("the tool's name first").1
    }
}

impl Sandbox {
    /// An empty folder.
    pub fn new() -> Sandbox {
        Sandbox(tempfile::tempdir().expect("a temporary folder"))
    }

    /// A folder with `faces-32.safetensors` in it: 40 demo faces of 32×32.
    pub fn with_faces() -> Sandbox {
        let sandbox = Sandbox::new();
        let made = sandbox.run("prep --demo 40 --size 32 -o faces-32.safetensors -q");
        assert_eq!(made.line(), "faces-32.safetensors");
        sandbox
    }

    /// A path in it.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.path().join(name)
    }

    /// What is in one of its folders, sorted.
    pub fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(folder)).expect("a folder");
        let mut names: Vec<String> =
            entries.map(|e| e.expect("an entry").file_name().into_string().expect("UTF-8")).collect();
        names.sort();
        names
    }

    /// A file's bytes.
    pub fn read(&self, name: impl AsRef<Path>) -> Vec<u8> {
        let path = self.path(name);
        fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    /// Writes a file.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(name), bytes).expect("written");
    }

    /// A command line, split at spaces, to be run here; stdin is empty.
    pub fn command(&self, line: &str) -> Command {
        let mut words = line.split_whitespace();
        let mut command = Command::new(binary(words.next().expect("a tool")));
        command.args(words).current_dir(self.0.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs a command line, split at spaces.
    pub fn run(&self, line: &str) -> Done {
        self.command(line).output().expect("it starts").into()
    }

    /// Runs a command line with `input` on stdin.
    pub fn run_with(&self, line: &str, input: &str) -> Done {
        let mut child = self.command(line).stdin(Stdio::piped()).spawn().expect("it starts");
        // A tool that never reads stdin may be gone already.
        let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
        child.wait_with_output().expect("it ends").into()
    }

    /// Runs a command line with a terminal for stdin, without input.
    #[cfg(target_os = "linux")]
    pub fn run_on_terminal(&self, line: &str) -> Done {
        use std::os::fd::{FromRawFd, OwnedFd};
        let (mut ours, mut theirs) = (0, 0);
        let null = std::ptr::null_mut();
        // SAFETY: both numbers are written to, and the three pointers may be null.
        let made = unsafe { libc::openpty(&mut ours, &mut theirs, null, null.cast(), null.cast()) };
        assert_eq!(made, 0, "no terminal");
        // SAFETY: openpty opened both, and nothing else has them.
        let (_ours, theirs) = unsafe { (OwnedFd::from_raw_fd(ours), OwnedFd::from_raw_fd(theirs)) };
        self.command(line).stdin(theirs).output().expect("it starts").into()
    }

    /// Runs a command line in a shell, with the tools on its path.
    pub fn shell(&self, line: &str) -> Done {
        let tools = Path::new(binary("prep")).parent().expect("a folder");
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("bash");
        command.args(["-c", &format!("set -o pipefail; {line}")]).current_dir(self.0.path());
        command.env("PATH", format!("{}:{path}", tools.display())).stdin(Stdio::null());
        command.output().expect("bash").into()
    }
}
