//! A Python program that does the same work: `peers.py` with its arguments.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::compute::timed;

/// The script, which lies beside this file.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bench/peers.py");

/// A program that has loaded and warmed up, and waits.
pub struct Peer {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// The version of what does the work.
    pub version: String,
}

/// The script with these arguments, on as many threads as this process.
fn command(arguments: &[String]) -> Command {
    let python = std::env::var("GANTOOLS_PYTHON").unwrap_or_else(|_| "python3".into());
    let threads = rayon::current_num_threads().to_string();
    let mut command = Command::new(python);
    command.arg(SCRIPT).args(["--threads", &threads]).args(arguments);
    for name in ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"] {
        command.env(name, &threads);
    }
    // What a machine's owner may have set, and slows numpy down.
    command.env_remove("OPENBLAS_CORETYPE").env_remove("OPENBLAS_L2_SIZE");
    command.stderr(Stdio::null());
    command
}

/// A line of its output; an error tells why there is none or what it says failed.
fn answer(output: &mut impl BufRead) -> Result<String, String> {
    let mut line = String::new();
    output.read_line(&mut line).map_err(|e| e.to_string())?;
    match line.trim_end() {
        "" => Err("it ended without a word".into()),
        line => match line.strip_prefix("failed ") {
            Some(reason) => Err(reason.into()),
            None => Ok(line.into()),
        },
    }
}

/// What it says when it has loaded: `ready`, and the version.
fn version(ready: &str) -> String {
    ready.trim_start_matches("ready ").into()
}

impl Peer {
    /// Starts it and waits until it is ready.
    ///
    /// # Errors
    /// No Python, a package that is not installed, or what else it failed at.
    pub fn start(arguments: &[String]) -> Result<Peer, String> {
        let mut command = command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let python = command.get_program().to_string_lossy().into_owned();
        let mut child = command.spawn().map_err(|e| format!("{python}: {e}"))?;
        let (input, output) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        let mut peer = Peer { child, input, output: BufReader::new(output), version: String::new() };
        peer.version = version(&answer(&mut peer.output)?);
        Ok(peer)
    }

    /// Does one repetition and returns its seconds.
    ///
    /// # Errors
    /// It failed.
    pub fn repeat(&mut self) -> Result<f64, String> {
        writeln!(self.input, "again").map_err(|e| e.to_string())?;
        let seconds = answer(&mut self.output)?;
        seconds.parse().map_err(|_| seconds)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Either may fail where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One repetition by a process of its own.
pub struct Whole {
    /// From its start to its end, loading included.
    pub seconds: f64,
    /// As [`Peer::version`].
    pub version: String,
}

/// Does one repetition by a process of its own.
///
/// # Errors
/// As [`Peer::start`].
pub fn whole(arguments: &[String]) -> Result<Whole, String> {
    let mut command = command(arguments);
    command.arg("--once").stdin(Stdio::null());
    let mut output = None;
    let seconds = timed(|| output = Some(command.output()));
    let output = output.expect("it ran").map_err(|e| e.to_string())?;
    let version = version(&answer(&mut output.stdout.as_slice())?);
    Ok(Whole { seconds, version })
}
