//! A Python program that does the same work: `peers.py` with arguments.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use gan_kernels::Isa;

use crate::compute::timed;

/// The script.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bench/peers.py");

/// A running program, loaded and warmed up.
pub struct Peer {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// The version of the library that does the work.
    pub version: String,
}

/// The command for the script, with the number of threads of this process.
fn command(arguments: &[String]) -> Command {
    let python = std::env::var("GANTOOLS_PYTHON").unwrap_or_else(|_| "python3".into());
    let threads = rayon::current_num_threads().to_string();
    let mut command = Command::new(python);
    command.arg(SCRIPT).args(["--threads", &threads]).args(arguments);
    for name in ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"] {
        command.env(name, &threads);
    }
    // The same instruction set, as far as these libraries can be told.
    if Isa::best::<f32>() == Isa::Avx2 {
        let limits = [("ONEDNN_MAX_CPU_ISA", "AVX2"), ("ATEN_CPU_CAPABILITY", "avx2")];
        command.envs(limits).env("MKL_ENABLE_INSTRUCTIONS", "AVX2");
    }
    // Settings of the machine that may slow numpy down.
    command.env_remove("OPENBLAS_CORETYPE").env_remove("OPENBLAS_L2_SIZE");
    command.stderr(Stdio::null());
    command
}

/// Reads a line of output; an error is the reported failure.
fn read_line(output: &mut impl BufRead) -> Result<String, String> {
    let mut line = String::new();
    output.read_line(&mut line).map_err(|e| e.to_string())?;
    match line.trim_end() {
        "" => Err("it ended without output".into()),
        line => match line.strip_prefix("failed ") {
            Some(reason) => Err(reason.into()),
            None => Ok(line.into()),
        },
    }
}

/// The version in the line `ready VERSION`.
fn version(ready: &str) -> String {
    ready.trim_start_matches("ready ").into()
}

impl Peer {
    /// Starts the program and waits until it is ready.
    ///
    /// # Errors
    /// Python or a package is missing, or the program failed.
    pub fn start(arguments: &[String]) -> Result<Peer, String> {
        let mut command = command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let python = command.get_program().to_string_lossy().into_owned();
        let mut child = command.spawn().map_err(|e| format!("{python}: {e}"))?;
        let (input, output) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        let mut peer = Peer { child, input, output: BufReader::new(output), version: String::new() };
        peer.version = version(&read_line(&mut peer.output)?);
        Ok(peer)
    }

    /// Runs one repetition and returns its seconds.
    ///
    /// # Errors
    /// The program failed.
    pub fn repeat(&mut self) -> Result<f64, String> {
        writeln!(self.input, "again").map_err(|e| e.to_string())?;
        let seconds = read_line(&mut self.output)?;
        seconds.parse().map_err(|_| seconds)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Both may fail if the program has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One repetition in a new process.
pub struct SingleRun {
    /// The duration of the process, loading included.
    pub seconds: f64,
    /// See [`Peer::version`].
    pub version: String,
}

/// Runs one repetition in a new process.
///
/// # Errors
/// See [`Peer::start`].
pub fn run_once(arguments: &[String]) -> Result<SingleRun, String> {
    let mut command = command(arguments);
    command.arg("--once").stdin(Stdio::null());
    let mut output = None;
    let seconds = timed(|| output = Some(command.output()));
    let output = output.expect("it ran").map_err(|e| e.to_string())?;
    let version = version(&read_line(&mut output.stdout.as_slice())?);
    Ok(SingleRun { seconds, version })
}
