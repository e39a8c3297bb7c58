//! What the four tools share: common flags, pipes, progress, errors and exit codes.
//!
//! stdout has only the result, one line; progress and warnings go to stderr. Exit code 0 is success. 1 is
//! failure: one line names the file or flag, and the fix. 2 is a wrong call. A closed pipe ends a tool
//! without a message.

use std::any::TypeId;
use std::error::Error;
use std::ffi::CString;
use std::fmt;
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::{self, ExitCode};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::time::{Duration, Instant};

use clap::builder::{PathBufValueParser, PossibleValuesParser, StringValueParser, TypedValueParser};
use clap::error::{ContextKind, ErrorKind};
use gan::device::{self, Device, DeviceChoice};
use gan::precision::Precision;
use gan::printable;
use gan::progress::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Makes the allocator keep freed pages; it would return them to the system after a second. The large buffers
/// of a training step are the same at each step, and each fresh page costs a page fault and a clearing.
pub fn keep_pages() {
    // SAFETY: sets a number that the allocator reads; nothing else sets it.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, -1) };
}

/// `mi_option_purge_delay` of mimalloc.h: milliseconds, or −1 for never.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// The flags of every tool.
#[derive(Debug, Clone, clap::Args)]
pub struct Common {
    /// Number of threads; does not change the result [default: all cores]
    #[arg(long, value_name = "N", value_parser = whole::<u16>(1..=1024))]
    pub threads: Option<u16>,
    /// Print the result as one JSON object
    #[arg(long)]
    pub json: bool,
    /// Print no progress, warnings or tables
    #[arg(short, long)]
    pub quiet: bool,
}

/// A tool's result: what goes to stdout.
pub struct Output {
    /// One line (a path or a number); a short table for `--list-…` and `--info`.
    pub text: String,
    /// The result as one JSON object, for `--json`.
    pub json: serde_json::Value,
}

impl Output {
    /// The file or folder that was made; `json` is an object with more about it.
    pub fn path(path: &Path, mut json: serde_json::Value) -> Output {
        let text = path.display().to_string();
        json["path"] = text.as_str().into();
        Output { text, json }
    }
}

/// A wrong call of the tool: exit code 2.
#[derive(Debug)]
pub struct Usage(pub String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Runs a tool: parses argv into `A`, sets the threads, calls `run`, prints its output, and maps errors to
/// exit codes.
pub fn main<A: clap::Parser>(common: fn(&A) -> &Common, run: fn(A) -> anyhow::Result<Output>) -> ExitCode {
    let mut command = A::command().mut_args(allow_negative);
    let tool = command.get_name().to_string();
    let parsed = command.try_get_matches_from_mut(std::env::args_os());
    let args = match parsed.and_then(|mut matches| A::from_arg_matches_mut(&mut matches)) {
        Ok(args) => args,
        Err(e) => {
            let e = e.format(&mut command);
            if let Some(line) = invalid_value(&e) {
                return fail(&tool, &line, 2);
            }
            // A closed pipe, as of `--help | head -1`, is no error.
            let _ = e.print();
            return ExitCode::from(e.exit_code() as u8);
        }
    };
    keep_pages();
    let (threads, json) = (common(&args).threads, common(&args).json);
    catch_sigbus(&tool);
    if let Some(n) = threads {
        // Fails only if there is a pool already, and there is none before this line.
        let _ = rayon::ThreadPoolBuilder::new().num_threads(n.into()).build_global();
    }
    match gan::device::check_instruction_set().map_err(Into::into).and_then(|()| run(args)) {
        Ok(output) => {
            let text = if json { output.json.to_string() } else { output.text };
            let mut out = io::stdout().lock();
            match writeln!(out, "{}", text.trim_end()).and_then(|()| out.flush()) {
                Err(e) if e.kind() != io::ErrorKind::BrokenPipe => fail(&tool, &format!("stdout: {e}"), 1),
                _ => ExitCode::SUCCESS,
            }
        }
        Err(e) => {
            let code = if e.is::<Usage>() { 2 } else { 1 };
            fail(&tool, &describe(&e), code)
        }
    }
}

/// Lets a numeric flag take a value with a minus sign: `--seed -1` gets an error about the range, not about a
/// flag `-1`.
fn allow_negative(arg: clap::Arg) -> clap::Arg {
    let kind = arg.get_value_parser().type_id();
    let is_number = kind == TypeId::of::<u8>()
        || kind == TypeId::of::<u16>()
        || kind == TypeId::of::<u32>()
        || kind == TypeId::of::<u64>()
        || kind == TypeId::of::<usize>()
        || kind == TypeId::of::<f64>();
    if is_number { arg.allow_hyphen_values(true) } else { arg }
}

/// One line about an invalid value of a flag; `None` for other errors.
fn invalid_value(e: &clap::Error) -> Option<String> {
    if e.kind() != ErrorKind::ValueValidation {
        return None;
    }
    let text = |kind| e.get(kind).map(ToString::to_string);
    let (arg, value, cause) = (text(ContextKind::InvalidArg)?, text(ContextKind::InvalidValue)?, e.source()?);
    let flag = arg.split(' ').next().filter(|flag| flag.starts_with('-')).unwrap_or(&arg);
    let (what, value) = (cause.to_string(), if value.is_empty() { "\"\"" } else { &value });
    // Some causes begin with the value.
    let what = what.strip_prefix(&format!("{value}: ")).unwrap_or(&what);
    Some(format!("{flag} {value}: {what}"))
}

/// Parses a whole number of a range.
pub fn whole<T>(range: RangeInclusive<u64>) -> impl TypedValueParser<Value = T>
where
    T: TryFrom<u64> + Clone + Send + Sync + 'static,
{
    StringValueParser::new().try_map(move |text| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        let number = number.and_then(|number| T::try_from(number).ok());
        number.ok_or_else(|| format!("not a whole number from {} to {}", range.start(), range.end()))
    })
}

/// Parses a number. `range` is for the error; the library checks it.
pub fn number(range: &'static str) -> impl TypedValueParser<Value = f64> {
    StringValueParser::new().try_map(move |text| {
        text.parse().ok().filter(|x: &f64| x.is_finite()).ok_or_else(|| format!("not a number {range}"))
    })
}

/// Parses one of `names` into what it names; `--help` lists them.
pub fn named<T>(names: &'static [&'static str]) -> impl TypedValueParser<Value = T>
where
    T: std::str::FromStr<Err = String> + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(names).try_map(|name: String| name.parse::<T>())
}

/// Parses the name of a precision.
pub fn precision() -> impl TypedValueParser<Value = Precision> {
    named(Precision::NAMES)
}

/// An error as one line. Arguments of the library become flags.
fn describe(e: &anyhow::Error) -> String {
    match e.downcast_ref::<gan::Error>() {
        Some(gan::Error::Argument { name, what }) => format!("--{}: {what}", name.replace('_', "-")),
        Some(gan::Error::Exists { .. }) => format!("{e}; choose another output, or --force to replace it"),
        _ => format!("{e:#}"),
    }
}

fn fail(tool: &str, line: &str, code: u8) -> ExitCode {
    let _ = writeln!(io::stderr(), "{tool}: {}", printable(line));
    ExitCode::from(code)
}

/// Parses the name of an output: see [`goes_through_the_pipe`].
pub fn out_path() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path| goes_through_the_pipe(&path).map(|()| path))
}

/// Checks that the next tool can read the name of an output from a line.
///
/// # Errors
/// It is not UTF-8, or has control characters such as a newline.
pub fn goes_through_the_pipe(path: &Path) -> Result<(), Usage> {
    match path.to_str() {
        Some(text) if !text.contains(char::is_control) => Ok(()),
        _ => Err(Usage(format!(
            "{}: the name of an output must be UTF-8 without control characters, for the next tool to read",
            path.display()
        ))),
    }
}

/// The maximum length of a line from stdin, in bytes.
const MAX_LINE: u64 = 1 << 20;

/// The operand `given`, or else one line from stdin: a path, or a JSON object with `path`. `usage` says how
/// to name the operand.
///
/// # Errors
/// Neither is there: `usage`. stdin has no path.
pub fn operand(given: Option<PathBuf>, usage: &str) -> anyhow::Result<PathBuf> {
    if let Some(path) = given {
        return Ok(path);
    }
    let stdin = io::stdin();
    if stdin.is_terminal() {
        return Err(Usage(usage.to_string()).into());
    }
    let mut line = String::new();
    stdin.lock().take(MAX_LINE).read_line(&mut line).map_err(|e| anyhow::anyhow!("stdin: {e}"))?;
    let line = line.trim_end_matches(['\r', '\n']);
    if line.is_empty() {
        anyhow::bail!("stdin is empty: the previous command in the pipe failed ({usage})");
    }
    if line.starts_with('{') {
        let object: serde_json::Value =
            serde_json::from_str(line).map_err(|e| anyhow::anyhow!("stdin: not a JSON object: {e}"))?;
        return match object["path"].as_str() {
            Some(path) => Ok(path.into()),
            None => anyhow::bail!("stdin: the JSON object has no \"path\""),
        };
    }
    Ok(line.into())
}

/// Shows progress on stderr: a bar on a terminal, plain lines elsewhere, nothing when quiet.
pub struct Reporter {
    tool: &'static str,
    quiet: bool,
    /// Hidden where there is no terminal; it estimates the time left for the plain lines.
    bar: ProgressBar,
    /// When the next plain line is due; `None` for a bar.
    due: Option<Mutex<Instant>>,
}

impl Reporter {
    /// Time to the first plain line. It is short: the line says how long the work will take.
    const PLAIN_FIRST: Duration = Duration::from_secs(3);
    /// Time between further lines.
    const PLAIN_EVERY: Duration = Duration::from_secs(10);

    /// A reporter for `tool`.
    pub fn new(tool: &'static str, common: &Common) -> Reporter {
        let (quiet, is_terminal) = (common.quiet, io::stderr().is_terminal());
        let target = match is_terminal && !quiet {
            true => ProgressDrawTarget::stderr_with_hz(8),
            false => ProgressDrawTarget::hidden(),
        };
        let style = ProgressStyle::with_template("{bar:28} {pos}/{len} {msg} [{elapsed}, {eta} left]");
        let bar = ProgressBar::with_draw_target(None, target).with_style(style.expect("a constant template"));
        let due = (!is_terminal).then(|| Mutex::new(Instant::now() + Self::PLAIN_FIRST));
        Reporter { tool, quiet, bar, due }
    }

    /// The device of that name, or the best one. Prints why a build for GPUs does not find one.
    pub fn device(&self, name: Option<&str>) -> anyhow::Result<Device> {
        let DeviceChoice { device, notice } = device::choose(name)?;
        notice.iter().for_each(|notice| self.info(notice));
        Ok(device)
    }

    /// What the device computes in; warns if that is not what is wanted.
    pub fn precision(&self, wanted: Precision, device: &Device) -> Precision {
        let used = wanted.on(device);
        if used != wanted {
            self.warn(
                "--precision bf16: this processor has no bf16 instructions; f32 is used, which is faster",
            );
        }
        used
    }

    /// Prints one line on stderr, above the bar; nothing when quiet.
    pub fn info(&self, line: &str) {
        if self.quiet {
            return;
        }
        self.bar.suspend(|| {
            let _ = writeln!(io::stderr(), "{}: {}", self.tool, printable(line));
        });
    }

    /// Removes the bar, at the end of the work.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Progress for Reporter {
    fn start(&self, done: u64) {
        self.bar.reset();
        self.bar.set_position(done);
        self.bar.reset_eta();
    }

    fn update(&self, done: u64, total: u64, note: &str) {
        if done < self.bar.position() {
            // Another piece of work.
            self.bar.reset();
        }
        self.bar.set_length(total);
        self.bar.set_position(done);
        self.bar.set_message(note.to_string());
        let (Some(due), false) = (&self.due, self.quiet) else { return };
        let (now, mut due) = (Instant::now(), due.lock().expect("no panic while held"));
        if now >= *due {
            *due = now + Self::PLAIN_EVERY;
            let (note, left) =
                (if note.is_empty() { "" } else { &format!("  {note}") }, human(self.bar.eta()));
            let _ = writeln!(io::stderr(), "{}: {done}/{total}{note}  {left} left", self.tool);
        }
    }

    fn warn(&self, line: &str) {
        self.info(&format!("warning: {line}"));
    }
}

/// A duration for people: `45 s`, `12 min`, `3 h 20 min`.
pub fn human(duration: Duration) -> String {
    let s = duration.as_secs_f64();
    match s {
        s if s < 90.0 => format!("{s:.0} s"),
        s if s < 5400.0 => format!("{:.0} min", s / 60.0),
        s => format!("{} h {:02} min", (s / 3600.0) as u64, (s / 60.0) as u64 % 60),
    }
}

/// A flag that Ctrl-C, SIGTERM or SIGHUP sets, for work that stops in order. The second signal exits at once.
pub fn stop_flag() -> anyhow::Result<&'static AtomicBool> {
    static STOP: AtomicBool = AtomicBool::new(false);
    ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::Relaxed) {
            process::exit(130);
        }
    })
    .map_err(|e| anyhow::anyhow!("cannot catch Ctrl-C: {e}"))?;
    Ok(&STOP)
}

/// The line that the SIGBUS handler prints, a leaked C string.
static SIGBUS_LINE: AtomicPtr<libc::c_char> = AtomicPtr::new(std::ptr::null_mut());

fn set_sigbus_line(line: String) {
    if let Ok(line) = CString::new(format!("{}\n", printable(&line))) {
        // Leaked on purpose: a handler may read the old line at any time. There is one per mapped file.
        SIGBUS_LINE.store(line.into_raw(), Ordering::Release);
    }
}

/// Prints one line and exits with 1 at SIGBUS: a mapped file shrank, or its disk failed, while it was read.
fn catch_sigbus(tool: &str) {
    extern "C" fn handler(_: libc::c_int) {
        let line = SIGBUS_LINE.load(Ordering::Acquire);
        // SAFETY: `line` is null or a C string that is never freed; strlen, write and _exit are
        // async-signal-safe.
        unsafe {
            if !line.is_null() {
                libc::write(2, line.cast(), libc::strlen(line));
            }
            libc::_exit(1);
        }
    }
    set_sigbus_line(format!("{tool}: a mapped file was cut short, or its disk failed, while it was read"));
    // SAFETY: the handler has the signature that `signal` expects and calls async-signal-safe functions only.
    unsafe {
        libc::signal(libc::SIGBUS, handler as *const () as libc::sighandler_t);
    }
}

/// Names the mapped file `path` in the line of the SIGBUS handler.
pub fn mapped(tool: &str, path: &Path) {
    let path = path.display();
    set_sigbus_line(format!(
        "{tool}: {path}: was cut short, or its disk failed, while it was read; make it again"
    ));
}
