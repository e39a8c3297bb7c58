//! Runs a tool under a supervisor that is asked before each call by which it changes a file system, and may let the call fail
//! or kill the tool there (Linux: seccomp's user notification, seccomp_unotify(2); no privilege is needed).

use std::fs;
use std::mem::zeroed;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, Output};
use std::sync::mpsc::channel;
use std::thread;

use libc::{c_long, sock_filter};

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Act {
    /// It is done.
    Go,
    /// It is not done, and gives this error.
    Fail(i32),
    /// The process is killed instead (SIGKILL).
    Kill,
}

/// The calls, by number and name.
const CALLS: [(c_long, &str); 19] = [
    (libc::SYS_openat, "openat"),
    (libc::SYS_write, "write"),
    (libc::SYS_pwrite64, "pwrite64"),
    (libc::SYS_writev, "writev"),
    (libc::SYS_copy_file_range, "copy_file_range"),
    (libc::SYS_fsync, "fsync"),
    (libc::SYS_fdatasync, "fdatasync"),
    (libc::SYS_syncfs, "syncfs"),
    (libc::SYS_ftruncate, "ftruncate"),
    (libc::SYS_utimensat, "utimensat"),
    (libc::SYS_renameat, "rename"),
    (libc::SYS_renameat2, "rename"),
    (libc::SYS_linkat, "link"),
    (libc::SYS_symlinkat, "symlink"),
    (libc::SYS_unlinkat, "unlink"),
    (libc::SYS_mkdirat, "mkdir"),
    (libc::SYS_fchmod, "fchmod"),
    (libc::SYS_fallocate, "fallocate"),
    (libc::SYS_flock, "flock"),
];

/// The older forms of some, which x86-64 alone has.
#[cfg(target_arch = "x86_64")]
const OLDER: [(c_long, &str); 7] = [
    (libc::SYS_rename, "rename"),
    (libc::SYS_link, "link"),
    (libc::SYS_symlink, "symlink"),
    (libc::SYS_unlink, "unlink"),
    (libc::SYS_rmdir, "unlink"),
    (libc::SYS_mkdir, "mkdir"),
    (libc::SYS_creat, "openat"),
];
#[cfg(not(target_arch = "x86_64"))]
const OLDER: [(c_long, &str); 0] = [];

/// The calls that read.
const READS: [(c_long, &str); 2] = [(libc::SYS_read, "read"), (libc::SYS_pread64, "read")];

/// `ioctl` of a listener: `_IOWR('!', 0, struct seccomp_notif)` and `_IOWR('!', 1, struct seccomp_notif_resp)` of linux/seccomp.h.
const RECEIVE: libc::Ioctl = 0xC050_2100;
const ANSWER: libc::Ioctl = 0xC018_2101;

fn name(call: i32) -> &'static str {
    CALLS
        .iter()
        .chain(&OLDER)
        .chain(&READS)
        .find(|(number, _)| *number == c_long::from(call))
        .map_or("?", |(_, name)| name)
}

/// The filter: a listener is asked about the calls above; about `openat` only where it makes or empties a file, about writes only
/// where they go beyond stdin, stdout and stderr.
fn filter(reads: bool) -> Vec<sock_filter> {
    let step = |code: u32, jt: u8, jf: u8, k: u32| sock_filter { code: code as u16, jt, jf, k };
    let load = |at: u32| step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, at);
    let jump = |how: u32, k: u32, jt: u8, jf: u8| step(libc::BPF_JMP | how | libc::BPF_K, jt, jf, k);
    let answer = |k: u32| step(libc::BPF_RET | libc::BPF_K, 0, 0, k);
    // Offsets in struct seccomp_data: the number, then from 16 on the arguments of 8 bytes, the low half first.
    let argument = |i: u32| load(16 + 8 * i);
    let (ask, go) = (libc::SECCOMP_RET_USER_NOTIF, libc::SECCOMP_RET_ALLOW);
    let mut program = vec![load(0)];
    let more = if reads { &READS[..] } else { &[] };
    for (call, name) in CALLS.iter().chain(&OLDER).chain(more) {
        let own: Vec<sock_filter> = match *name {
            "openat" if *call == libc::SYS_openat => {
                let makes = (libc::O_CREAT | libc::O_TRUNC) as u32;
                vec![argument(2), jump(libc::BPF_JSET, makes, 0, 1), answer(ask), answer(go)]
            }
            "write" | "pwrite64" | "writev" => {
                vec![argument(0), jump(libc::BPF_JGT, 2, 0, 1), answer(ask), answer(go)]
            }
            _ => vec![answer(ask)],
        };
        program.push(jump(libc::BPF_JEQ, *call as u32, 0, own.len() as u8));
        program.extend(own);
    }
    program.push(answer(go));
    program
}

/// Filters the calling thread, and whatever it starts, for good; returns the listener.
fn install(reads: bool) -> std::io::Result<OwnedFd> {
    let mut filter = filter(reads);
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: numbers alone.
    unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    // SAFETY: the program and what it points to outlive the call, which copies them.
    let fd = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &program) };
    match fd {
        // SAFETY: the descriptor was just made, for us.
        0.. => Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) }),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// Runs `command` to its end, asking `decide` about each call that changes the file system, by its number from 0 and its name.
/// Returns what it did, and the names of its calls; `None` where the system has no such supervisor.
pub fn run(
    command: Command,
    mut decide: impl FnMut(usize, &str) -> Act,
) -> Option<(Output, Vec<&'static str>)> {
    supervise(command, false, |calls, name, _| Some(decide(calls, name)))
}

/// The same of the calls that read files below `folder`, and of no others.
pub fn run_reading(
    command: Command,
    folder: &Path,
    mut decide: impl FnMut(usize) -> Act,
) -> Option<(Output, Vec<&'static str>)> {
    let folder = folder.canonicalize().expect("it is there");
    supervise(command, true, |calls, name, asked| {
        let file = || fs::read_link(format!("/proc/{}/fd/{}", asked.pid, asked.data.args[0]));
        let below = name == "read" && file().is_ok_and(|file| file.starts_with(&folder));
        below.then(|| decide(calls))
    })
}

/// Asks `decide` about each call: `None` lets it go and does not count it.
fn supervise(
    mut command: Command,
    reads: bool,
    mut decide: impl FnMut(usize, &str, &libc::seccomp_notif) -> Option<Act>,
) -> Option<(Output, Vec<&'static str>)> {
    let (sender, listener) = channel();
    let (starts, started) = channel();
    // A thread of its own, since it keeps the filter; it ends once the command runs.
    let starter = thread::spawn(move || {
        let Ok(listener) = install(reads) else { return };
        sender.send(listener).expect("the receiver waits");
        starts.send(command.spawn().expect("it starts")).expect("the receiver waits");
    });
    let Ok(listener) = listener.recv() else {
        eprintln!("left out: this system has no seccomp user notification");
        return None;
    };
    let mut child: Option<Child> = None;
    let mut calls = Vec::new();
    loop {
        child = child.or_else(|| started.try_recv().ok());
        let mut poll = libc::pollfd { fd: listener.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one pollfd, which outlives the call.
        unsafe { libc::poll(&mut poll, 1, 2) };
        if poll.revents & libc::POLLIN == 0 {
            let ended = |child: &mut Child| child.try_wait().expect("it is ours").is_some();
            match child.as_mut().is_some_and(ended) {
                true => break,
                false => continue,
            }
        }
        // SAFETY: a struct of numbers; the call requires zeros.
        let mut asked: libc::seccomp_notif = unsafe { zeroed() };
        // SAFETY: the struct that this call fills, which outlives it.
        if unsafe { libc::ioctl(listener.as_raw_fd(), RECEIVE, &mut asked) } != 0 {
            continue; // who asked is dead
        }
        // The starter itself is filtered, too.
        let ours = fs::exists(format!("/proc/self/task/{}", asked.pid)).unwrap_or(false);
        let name = name(asked.data.nr);
        let act = if ours { None } else { decide(calls.len(), name, &asked) };
        calls.extend(act.map(|_| name));
        let (error, flags) = match act.unwrap_or(Act::Go) {
            Act::Go => (0, libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32),
            Act::Fail(error) => (-error, 0),
            Act::Kill => {
                let mut child = child.take().unwrap_or_else(|| started.recv().expect("it started"));
                child.kill().expect("it is ours");
                starter.join().expect("no panic");
                return Some((child.wait_with_output().expect("it ends"), calls));
            }
        };
        let answer = libc::seccomp_notif_resp { id: asked.id, val: 0, error, flags };
        // SAFETY: the struct that this call reads, which outlives it. It fails where who asked is dead: nothing to do.
        unsafe { libc::ioctl(listener.as_raw_fd(), ANSWER, &answer) };
    }
    starter.join().expect("no panic");
    Some((child.expect("it ended").wait_with_output().expect("it ended"), calls))
}
