//! What the four tools share: common flags, the pipe's rules, errors to exit codes. They compute nothing.
//!
//! The rules: stdout carries the result alone, one line; progress and warnings go to stderr; exit 0 is done, 1 is
//! failed with one line that names the file or flag and the mend, 2 is usage; a closed pipe ends a tool quietly.

use std::any::TypeId;
use std::error::Error;
use std::ffi::CString;
use std::fmt;
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::num::{ParseFloatError, ParseIntError};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::{self, ExitCode};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::time::{Duration, Instant};

use clap::builder::{PathBufValueParser, PossibleValuesParser, StringValueParser, TypedValueParser};
use clap::error::{ContextKind, ErrorKind};
use gan::device::{self, Chosen, Device};
use gan::precision::Precision;
use gan::printable;
use gan::progress::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Has the allocator keep freed pages for good, where it would give them back after a second: the large buffers of a training
/// step are the same from step to step, and fresh pages cost a fault and a clearing each.
pub fn keep_pages() {
    // SAFETY: sets a number that the allocator reads; nothing else changes it.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, -1) };
}

/// `mi_option_purge_delay` of mimalloc.h: milliseconds, or −1 for never.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// Flags that mean the same in every tool.
#[derive(Debug, Clone, clap::Args)]
pub struct Common {
    /// Number of threads; changes no byte of any result [default: all cores]
    #[arg(long, value_name = "N", value_parser = whole::<u16>(1..=1024))]
    pub threads: Option<u16>,
    /// Print the result as one JSON object
    #[arg(long)]
    pub json: bool,
    /// No progress, warnings or tables on stderr
    #[arg(short, long)]
    pub quiet: bool,
}

/// A tool's result: what goes to stdout.
pub struct Output {
    /// The one line (a path or a number), or a short table for the `--list-…` and `--info` modes.
    pub text: String,
    /// The same as one JSON object, for `--json`.
    pub json: serde_json::Value,
}

impl Output {
    /// The artifact that was made at `path`, with whatever else is worth telling in `--json`.
    pub fn path(path: &Path, mut more: serde_json::Value) -> Output {
        more["path"] = path.display().to_string().into();
        Output { text: path.display().to_string(), json: more }
    }
}

/// An error in how the tool was called: exit 2.
#[derive(Debug)]
pub struct Usage(pub String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Runs a tool: parses argv into `A`, sets the threads, calls `run`, prints its answer, and maps errors to exit codes.
pub fn main<A: clap::Parser>(common: fn(&A) -> &Common, run: fn(A) -> anyhow::Result<Output>) -> ExitCode {
    let mut command = A::command().mut_args(takes_minus);
    let tool = command.get_name().to_string();
    let parsed = command.try_get_matches_from_mut(std::env::args_os());
    let args = match parsed.and_then(|mut matches| A::from_arg_matches_mut(&mut matches)) {
        Ok(args) => args,
        Err(e) => {
            let e = e.format(&mut command);
            if let Some(line) = wrong_value(&e) {
                return fail(&tool, &line, 2);
            }
            // `--help | head -1` closes the pipe on us: nothing to say about that.
            let _ = e.print();
            return ExitCode::from(e.exit_code() as u8);
        }
    };
    keep_pages();
    let (threads, json) = (common(&args).threads, common(&args).json);
    catch_sigbus(&tool);
    if let Some(n) = threads {
        // Fails only where a pool exists already, and none does before this line.
        let _ = rayon::ThreadPoolBuilder::new().num_threads(n.into()).build_global();
    }
    match run(args) {
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

/// Lets a numeric flag take what begins with a minus, so that `--seed -1` is told the range and not that
/// there is no flag `-1`.
fn takes_minus(arg: clap::Arg) -> clap::Arg {
    let kind = arg.get_value_parser().type_id();
    let numbers = [
        TypeId::of::<u8>(),
        TypeId::of::<u16>(),
        TypeId::of::<u32>(),
        TypeId::of::<u64>(),
        TypeId::of::<usize>(),
        TypeId::of::<f64>(),
    ];
    match numbers.iter().any(|number| kind == *number) {
        true => arg.allow_hyphen_values(true),
        false => arg,
    }
}

/// One line about a flag's value that does not parse; `None` of other errors.
fn wrong_value(e: &clap::Error) -> Option<String> {
    if e.kind() != ErrorKind::ValueValidation {
        return None;
    }
    let text = |kind| e.get(kind).map(ToString::to_string);
    let (arg, value, cause) = (text(ContextKind::InvalidArg)?, text(ContextKind::InvalidValue)?, e.source()?);
    let flag = arg.split(' ').next().filter(|flag| flag.starts_with('-')).unwrap_or(&arg);
    let what = match cause {
        _ if cause.is::<ParseIntError>() => "not a whole number that it takes (see --help)".to_string(),
        _ if cause.is::<ParseFloatError>() => "not a number".to_string(),
        cause => cause.to_string(),
    };
    let value = if value.is_empty() { "\"\"" } else { &value };
    // Some say the value themselves.
    let what = what.strip_prefix(&format!("{value}: ")).unwrap_or(&what);
    Some(format!("{flag} {value}: {what}"))
}

/// Parses a whole number of a range.
pub fn whole<T>(range: RangeInclusive<u64>) -> impl TypedValueParser<Value = T>
where
    T: TryFrom<u64> + Clone + Send + Sync + 'static,
{
    StringValueParser::new().try_map(move |text| {
        let number = text.parse::<u64>().ok().filter(|number| range.contains(number));
        number
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| format!("not a whole number from {} to {}", range.start(), range.end()))
    })
}

/// Parses a number; `range` says in words which, and the library holds it to that.
pub fn number(range: &'static str) -> impl TypedValueParser<Value = f64> {
    StringValueParser::new().try_map(move |text| text.parse().map_err(|_| format!("not a number {range}")))
}

/// An error as one line, with the flag that the library does not know of.
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

/// Parses the name of a file or folder to make: see [`goes_through_the_pipe`].
pub fn out_path() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path| goes_through_the_pipe(&path).map(|()| path))
}

/// Whether the name of what is to be made can be printed for the next tool to read.
///
/// # Errors
/// It is no UTF-8, or has control characters such as a newline.
pub fn goes_through_the_pipe(path: &Path) -> Result<(), Usage> {
    match path.to_str() {
        Some(text) if !text.contains(char::is_control) => Ok(()),
        _ => Err(Usage(format!(
            "{}: what is made needs a name of UTF-8 without control characters, to go through the pipe",
            path.display()
        ))),
    }
}

/// The longest line that is read from stdin, in bytes.
const MAX_LINE: u64 = 1 << 20;

/// The operand `given`, or else one line from stdin when that is not a terminal: a path, or a JSON object with `path`.
/// `usage` says how to name the operand; it is the error when there is neither.
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
        anyhow::bail!("stdin is empty: what came before in the pipe failed, or name the operand ({usage})");
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

/// Draws progress on stderr: a bar on a terminal, plain lines elsewhere, nothing when quiet.
pub struct Reporter {
    tool: &'static str,
    quiet: bool,
    bar: Option<ProgressBar>,
    plain: Mutex<Plain>,
}

/// What the plain lines need to know.
struct Plain {
    /// When this piece of work began.
    start: Instant,
    /// When the next line is due.
    due: Instant,
    /// How much was done at the last call.
    done: u64,
    /// How much of that was done before this piece of work began.
    before: u64,
}

impl Reporter {
    /// When the first plain line is due where stderr is no terminal: soon, since it tells how long the work will take.
    const PLAIN_FIRST: Duration = Duration::from_secs(3);
    /// How often one is written from then on.
    const PLAIN_EVERY: Duration = Duration::from_secs(10);

    /// A bar for `tool`.
    pub fn new(tool: &'static str, common: &Common) -> Reporter {
        let bar = (!common.quiet && io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(8));
            let style = "{bar:28} {pos}/{len} {msg} [{elapsed}, {eta} left]";
            bar.set_style(ProgressStyle::with_template(style).expect("a constant template"));
            bar
        });
        let start = Instant::now();
        let plain = Plain { start, due: start + Self::PLAIN_FIRST, done: 0, before: 0 };
        Reporter { tool, quiet: common.quiet, bar, plain: Mutex::new(plain) }
    }

    /// The device that `--device` names, or without a name the best one; says why that is not the GPU that this build is for.
    pub fn device(&self, name: Option<&str>) -> anyhow::Result<Device> {
        let Chosen { device, notice } = device::choose(name)?;
        notice.iter().for_each(|notice| self.info(notice));
        Ok(device)
    }

    /// Warns where a precision gains nothing.
    pub fn advise(&self, precision: Precision, device: &Device) {
        if device.is_cpu() && !precision.is_native() {
            self.warn(
                "--precision bf16: this processor does not multiply bf16; f32 is at least as fast here",
            );
        }
    }

    /// Writes one line to stderr, above the bar; nothing when quiet.
    pub fn info(&self, line: &str) {
        if self.quiet {
            return;
        }
        let write = || {
            let _ = writeln!(io::stderr(), "{}: {}", self.tool, printable(line));
        };
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    /// Takes the bar off the terminal; call it when the work is done.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Progress for Reporter {
    fn begins(&self, done: u64) {
        if let Some(bar) = &self.bar {
            bar.reset();
            bar.set_position(done);
            bar.reset_eta();
        }
        let mut plain = self.plain.lock().expect("no panic while held");
        (plain.start, plain.done, plain.before) = (Instant::now(), done, done);
    }

    fn update(&self, done: u64, total: u64, note: &str) {
        if let Some(bar) = &self.bar {
            if done < bar.position() {
                bar.reset();
            }
            bar.set_length(total);
            bar.set_position(done);
            bar.set_message(note.to_string());
        } else if !self.quiet {
            let now = Instant::now();
            let mut plain = self.plain.lock().expect("no panic while held");
            if done < plain.done {
                // Another piece of work: its time left is its own.
                (plain.start, plain.before) = (now, 0);
            }
            plain.done = done;
            if now >= plain.due {
                plain.due = now + Self::PLAIN_EVERY;
                let spent = now - plain.start;
                let own = done.saturating_sub(plain.before).max(1);
                let left = spent.mul_f64(total.saturating_sub(done) as f64 / own as f64);
                let note = if note.is_empty() { String::new() } else { format!("  {note}") };
                let _ = writeln!(io::stderr(), "{}: {done}/{total}{note}  {} left", self.tool, human(left));
            }
        }
    }

    fn warn(&self, line: &str) {
        self.info(&format!("warning: {line}"));
    }
}

/// A duration as people say it: `45 s`, `12 min`, `3 h 20 min`.
pub fn human(duration: Duration) -> String {
    let s = duration.as_secs_f64();
    match s {
        s if s < 90.0 => format!("{s:.0} s"),
        s if s < 5400.0 => format!("{:.0} min", s / 60.0),
        s => format!("{} h {:02} min", (s / 3600.0) as u64, (s / 60.0) as u64 % 60),
    }
}

/// A flag that Ctrl-C (and SIGTERM, SIGHUP) sets, for work that ends well when asked; a second time leaves at once.
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

/// The line that the SIGBUS handler writes, a leaked C string.
static SIGBUS_LINE: AtomicPtr<libc::c_char> = AtomicPtr::new(std::ptr::null_mut());

fn set_sigbus_line(line: String) {
    if let Ok(line) = CString::new(format!("{}\n", printable(&line))) {
        // Leaked on purpose: a handler may be reading the old line at any time. There is one per mapped file.
        SIGBUS_LINE.store(line.into_raw(), Ordering::Release);
    }
}

/// A mapped file that shrinks (or a disk that fails) turns a read into SIGBUS: say so in one line and exit 1.
fn catch_sigbus(tool: &str) {
    extern "C" fn handler(_: libc::c_int) {
        let line = SIGBUS_LINE.load(Ordering::Acquire);
        // SAFETY: `line` is null or a C string that is never freed; strlen, write and _exit are async-signal-safe.
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

/// Names `path` in the line that is written should it shrink while it is mapped.
pub fn mapped(tool: &str, path: &Path) {
    let path = path.display();
    set_sigbus_line(format!(
        "{tool}: {path}: was cut short, or its disk failed, while it was read; make it again"
    ));
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
