//! Downloads that resume after a break and are accepted only with the published SHA-256.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use ureq::http::{Response, StatusCode};
use ureq::{Agent, Body};

use crate::io::{atomic, hash};
use crate::progress::Progress;
use crate::{Error, Result};

/// A published file.
#[derive(Debug, Clone, Copy)]
pub struct Published<'a> {
    /// Its address.
    pub url: &'a str,
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256, in lower-case hexadecimal digits.
    pub sha256: &'a str,
}

/// The number of attempts in a row without new bytes before the download fails.
const MAX_ATTEMPTS: u32 = 4;
/// How long a server may stay silent.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The pause after the first attempt without new bytes; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// Downloads `file` to `to`, and makes its folder. After a break, `.NAME.part` beside it keeps the bytes so
/// far, and the next call resumes there; `to` is the complete file or does not exist. The environment may
/// name a proxy (`HTTPS_PROXY`, `ALL_PROXY`).
///
/// # Errors
/// No answer, or too many breaks; another length or hash than published (the bytes so far are removed); an
/// error of the disk; another process that downloads the file.
pub fn fetch(file: Published, to: &Path, progress: &dyn Progress) -> Result<()> {
    let folder = atomic::folder_of(to);
    std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
    let part = part_of(to);
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(TIMEOUT))
        .timeout_recv_response(Some(TIMEOUT))
        .timeout_per_read(Some(TIMEOUT))
        .build();
    let agent = Agent::new_with_config(config);
    let (mut failures, mut pause) = (0, FIRST_PAUSE);
    while length(&part)? < file.size {
        let before = length(&part)?;
        match attempt(&agent, file, &part, progress) {
            Ok(()) => {}
            Err(Failure::Final(error)) => return Err(error),
            Err(Failure::Broken(why)) if length(&part)? <= before => {
                failures += 1;
                if failures == MAX_ATTEMPTS {
                    return Err(Error::Invalid(format!("{}: {why}", file.url)));
                }
                sleep(pause);
                pause *= 2;
            }
            Err(Failure::Broken(_)) => failures = 0,
        }
    }
    let remove = || std::fs::remove_file(&part).map_err(Error::io(&part));
    let found = hash::of_file(&part)?;
    if found != file.sha256 {
        remove()?;
        let what = format!("sent other bytes than were published (SHA-256 {found}); try again later");
        return Err(Error::Invalid(format!("{}: {what}", file.url)));
    }
    let whole = File::open(&part).and_then(|file| file.sync_all());
    whole.and_then(|()| std::fs::rename(&part, to)).map_err(Error::io(to))?;
    atomic::sync_folder(folder).map_err(Error::io(to))
}

/// Why an attempt did not complete the download.
enum Failure {
    /// Another attempt may succeed.
    Broken(String),
    /// No attempt will.
    Final(Error),
}

/// The file that keeps the bytes so far of `to`.
fn part_of(to: &Path) -> PathBuf {
    let name = to.file_name().unwrap_or_default().to_string_lossy();
    to.with_file_name(format!(".{name}.part"))
}

fn length(part: &Path) -> Result<u64> {
    match std::fs::metadata(part) {
        Ok(there) => Ok(there.len()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(e) => Err(Error::io(part)(e)),
    }
}

fn attempt(agent: &Agent, file: Published, part: &Path, progress: &dyn Progress) -> Result<(), Failure> {
    let broken = |e: ureq::Error| Failure::Broken(e.to_string());
    let have = length(part).map_err(Failure::Final)?;
    let mut request = agent.get(file.url);
    if have > 0 {
        request = request.header("Range", format!("bytes={have}-"));
    }
    let response = request.call().map_err(broken)?;
    let refuse = |what: String| Failure::Final(Error::Invalid(format!("{}: {what}", file.url)));
    let start = match response.status() {
        StatusCode::OK => 0,
        StatusCode::PARTIAL_CONTENT if begins_at(&response, have) => have,
        // The server does not resume there: the next attempt asks for everything.
        StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
            std::fs::remove_file(part).map_err(|e| Failure::Final(Error::io(part)(e)))?;
            return Err(Failure::Broken("the server does not send the rest of what it began".into()));
        }
        status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
            return Err(Failure::Broken(format!("the server answers {status}")));
        }
        status => return Err(refuse(format!("the server answers {status}"))),
    };
    if let Some(rest) = response.body().content_length()
        && start + rest != file.size
    {
        return Err(refuse(format!("has {} bytes where {} were published", start + rest, file.size)));
    }
    let disk = |e| Failure::Final(Error::io(part)(e));
    let mut out = OpenOptions::new().create(true).write(true).truncate(false).open(part).map_err(disk)?;
    if out.try_lock().is_err() {
        return Err(refuse("another process is downloading it: wait for it".into()));
    }
    out.set_len(start).map_err(disk)?;
    io::Seek::seek(&mut out, io::SeekFrom::Start(start)).map_err(disk)?;
    let mut body = response.into_body().into_reader();
    let (mut at, mut buffer) = (start, vec![0; 1 << 16]);
    while at < file.size {
        let n = match body.read(&mut buffer) {
            Ok(0) => return Err(Failure::Broken("the connection was closed before the end".into())),
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(Failure::Broken(e.to_string())),
        };
        // Bytes beyond the published size are ignored.
        let n = n.min((file.size - at) as usize);
        out.write_all(&buffer[..n]).map_err(disk)?;
        at += n as u64;
        progress.update(at, file.size, "bytes of weights");
    }
    Ok(())
}

/// Whether a partial answer begins at byte `have`.
fn begins_at(response: &Response<Body>, have: u64) -> bool {
    let range = response.headers().get("Content-Range").and_then(|value| value.to_str().ok());
    range.and_then(|range| range.strip_prefix("bytes ")?.split('-').next()?.parse().ok()) == Some(have)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::net::{TcpListener, TcpStream};
    use std::thread;

    use sha2::{Digest, Sha256};

    use super::*;
    use crate::io::hash::hex;
    use crate::progress::Silent;

    /// How the server answers a request for the bytes from `start` on, before it closes the connection.
    type Answer = fn(&mut TcpStream, content: &[u8], start: usize);

    fn content() -> Vec<u8> {
        (0..300_000u32).map(|i| (i * i / 7) as u8).collect()
    }

    /// Answers one request with each of `answers`, and returns the requested starts.
    fn serve(answers: Vec<Answer>) -> (String, thread::JoinHandle<Vec<usize>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/weights.pth", listener.local_addr().unwrap());
        let server = thread::spawn(move || {
            let one = |answer: Answer| {
                let (mut stream, _) = listener.accept().unwrap();
                let lines = BufReader::new(stream.try_clone().unwrap()).lines().map(|line| line.unwrap());
                let start = lines
                    .take_while(|line| !line.is_empty())
                    .filter_map(|line| {
                        line.to_lowercase().strip_prefix("range: bytes=")?.strip_suffix('-')?.parse().ok()
                    })
                    .last()
                    .unwrap_or(0);
                answer(&mut stream, &content(), start);
                start
            };
            answers.into_iter().map(one).collect()
        });
        (url, server)
    }

    fn head(stream: &mut TcpStream, status: &str, fields: &str) {
        write!(stream, "HTTP/1.1 {status}\r\nConnection: close\r\n{fields}\r\n").unwrap();
    }

    /// The rest, as an honest server sends it.
    fn honest(stream: &mut TcpStream, content: &[u8], start: usize) {
        let rest = &content[start..];
        let length = format!("Content-Length: {}\r\n", rest.len());
        match start {
            0 => head(stream, "200 OK", &length),
            _ => {
                let end = content.len() - 1;
                let range = format!("Content-Range: bytes {start}-{end}/{}\r\n", content.len());
                head(stream, "206 Partial Content", &(length + &range));
            }
        }
        let _ = stream.write_all(rest);
    }

    /// Breaks off after 100,000 bytes.
    fn breaks_in_the_middle(stream: &mut TcpStream, content: &[u8], start: usize) {
        let length = content.len() - start;
        let range = format!("Content-Range: bytes {start}-{}/{}\r\n", content.len() - 1, content.len());
        let status = if start == 0 { "200 OK" } else { "206 Partial Content" };
        head(stream, status, &format!("Content-Length: {length}\r\n{range}"));
        let _ = stream.write_all(&content[start..content.len().min(start + 100_000)]);
    }

    fn says_nothing(_: &mut TcpStream, _: &[u8], _: usize) {}

    fn is_busy(stream: &mut TcpStream, _: &[u8], _: usize) {
        head(stream, "503 Service Unavailable", "Content-Length: 0\r\n");
    }

    fn has_none(stream: &mut TcpStream, _: &[u8], _: usize) {
        head(stream, "404 Not Found", "Content-Length: 0\r\n");
    }

    fn has_another_length(stream: &mut TcpStream, content: &[u8], _: usize) {
        head(stream, "200 OK", "Content-Length: 299999\r\n");
        let _ = stream.write_all(&content[1..]);
    }

    fn has_other_bytes(stream: &mut TcpStream, content: &[u8], _: usize) {
        let mut content = content.to_vec();
        content[77] ^= 1;
        honest(stream, &content, 0);
    }

    /// Sends everything, whatever was requested.
    fn knows_no_ranges(stream: &mut TcpStream, content: &[u8], _: usize) {
        honest(stream, content, 0);
    }

    /// Sends more than was published.
    fn sends_too_much(stream: &mut TcpStream, content: &[u8], _: usize) {
        head(stream, "200 OK", "");
        let _ = stream.write_all(&[content, content].concat());
    }

    /// Downloads from a server of these answers into a new cache: the result, the requested starts, the files
    /// left there.
    fn go(answers: Vec<Answer>) -> (Result<()>, Vec<usize>, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("cache/weights.pth");
        let (url, server) = serve(answers);
        let sha256 = hex(&Sha256::digest(content()));
        let file = Published { url: &url, size: 300_000, sha256: &sha256 };
        let result = fetch(file, &to, &Silent);
        let left = std::fs::read_dir(folder.path().join("cache")).unwrap();
        let mut left: Vec<String> = left.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        left.sort();
        if result.is_ok() {
            assert!(std::fs::read(&to).unwrap() == content());
        }
        (result, server.join().unwrap(), left)
    }

    const COMPLETE: [&str; 1] = ["weights.pth"];

    #[test]
    fn a_download_resumes_where_it_broke_off() {
        let (result, starts, left) =
            go(vec![breaks_in_the_middle, says_nothing, breaks_in_the_middle, honest]);
        result.unwrap();
        assert_eq!((starts, left), (vec![0, 100_000, 100_000, 200_000], COMPLETE.map(String::from).to_vec()));
        let (result, starts, left) = go(vec![is_busy, breaks_in_the_middle, knows_no_ranges]);
        result.unwrap();
        assert_eq!((starts, left), (vec![0, 0, 100_000], COMPLETE.map(String::from).to_vec()));
        let (result, ..) = go(vec![sends_too_much]);
        result.unwrap();
    }

    #[test]
    fn what_a_server_gets_wrong_is_one_line_and_leaves_nothing_under_the_name() {
        for (answers, wanted, part) in [
            (vec![has_none as Answer], "the server answers 404 Not Found", false),
            (vec![has_another_length], "has 299999 bytes where 300000 were published", false),
            (vec![has_other_bytes], "sent other bytes than were published (SHA-256 ", false),
            (vec![breaks_in_the_middle, has_none], "404", true),
            (vec![says_nothing; MAX_ATTEMPTS as usize], "", false),
        ] {
            let (result, _, left) = go(answers);
            let line = result.unwrap_err().to_string();
            assert!(line.starts_with("http://127.0.0.1:") && !line.contains('\n'), "{line}");
            assert!(line.contains(wanted), "{line} should have {wanted}");
            // The bytes before a break are kept, wrong bytes are not.
            assert_eq!(left, if part { vec![".weights.pth.part"] } else { vec![] }, "{line}");
        }
    }
}
