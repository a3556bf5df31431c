//! Connections: a thread for each, a request after the other, with what the script does to them.

use std::io::{self, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use socket2::SockRef;

use super::http::{Exchange, Head, Stream, head_bytes, read_body, read_head};
use super::routes::{Page, answer, page, refusal};
use super::script::{Effect, Route};
use super::{Request, Shared, tls};

pub(super) fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.stop.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let shared = Arc::clone(shared);
        std::thread::spawn(move || {
            // A client that goes away is no failure of the registry.
            let _ = connection(stream, &shared);
        });
    }
}

/// Bytes that the kernel may hold for a client that does not read.
const SEND_BUFFER_BYTES: usize = 32 << 10;

fn connection(stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    // What is counted as sent should have reached the client, or nearly, also where the client gets little time.
    SockRef::from(&stream).set_send_buffer_size(SEND_BUFFER_BYTES)?;
    stream.set_read_timeout(Some(Duration::from_secs(120)))?;
    let mut first = [0];
    // The first byte of a TLS handshake; no HTTP method begins with it.
    let speaks_tls = stream.peek(&mut first)? == 1 && first[0] == 0x16;
    match (shared.tls, speaks_tls) {
        (None, false) => serve(BufReader::new(stream), shared),
        (None, true) => refuse(stream, ""),
        (Some(_), false) => refuse(stream, "Client sent an HTTP request to an HTTPS server.\n"),
        (Some(proof), true) => serve(BufReader::new(tls::server(stream, proof)?), shared),
    }
}

/// What Go's servers say to a client that speaks the other of HTTP and HTTPS.
fn refuse(mut stream: TcpStream, why: &str) -> io::Result<()> {
    stream.write_all(format!("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n{why}").as_bytes())?;
    linger(&mut BufReader::new(stream));
    Ok(())
}

fn serve<S: Stream>(mut stream: BufReader<S>, shared: &Shared) -> io::Result<()> {
    while let Some(head) = read_head(&mut stream)? {
        shared.under_way.fetch_add(1, Ordering::SeqCst);
        let mut turn = Turn::new(shared, head);
        let outcome = turn.take(&mut stream);
        turn.note_end();
        shared.under_way.fetch_sub(1, Ordering::SeqCst);
        if !outcome? {
            break;
        }
    }
    Ok(())
}

/// Reads what still comes before closing, as servers do: closing at once would reset the connection, and the client might
/// lose the answer.
fn linger<S: Stream>(stream: &mut BufReader<S>) {
    let mut buffer = vec![0; 64 << 10];
    let end = Instant::now() + Duration::from_secs(5);
    while Instant::now() < end && stream.read(&mut buffer).is_ok_and(|read| read > 0) {}
}

/// One request and its answer.
struct Turn<'a> {
    shared: &'a Shared,
    head: Head,
    page: Page,
    effects: Vec<Effect>,
    serial: u64,
    request: Request,
}

impl<'a> Turn<'a> {
    fn new(shared: &'a Shared, head: Head) -> Self {
        let page = page(&head.path);
        let mut state = shared.state();
        let effects = state
            .rules
            .iter_mut()
            .find_map(|rule| rule.acts(page.route, &head.method, &head.path).then(|| rule.effects.clone()))
            .unwrap_or_default();
        state.requests += 1;
        let serial = state.requests;
        drop(state);
        let Head { method, path, query, headers } = head.clone();
        let request = Request { method, path, query, headers, route: page.route, received: 0, status: 0, sent: 0 };
        Turn { shared, head, page, effects, serial, request }
    }

    /// Writes the request down before the client can know of its end: tests look as soon as they have an answer.
    fn note(&self) {
        self.shared.note(self.serial, &self.request);
    }

    /// Writes down a request that got no answer; one that did is there already, unless the log was cleared since.
    fn note_end(&self) {
        if self.request.status == 0 {
            self.note();
        }
    }

    /// Reads the body, answers, and says whether the connection goes on.
    fn take<S: Stream>(&mut self, stream: &mut BufReader<S>) -> io::Result<bool> {
        if let Some(refusal) = self.refusal_of_body() {
            // The body is not read, so that nothing can follow on this connection.
            self.write(stream, refusal.with("Connection", "close"))?;
            linger(stream);
            return Ok(false);
        }
        let Some(body) = self.read_body(stream)? else { return Ok(false) };
        for effect in &self.effects {
            match effect {
                Effect::Close => return Ok(false),
                Effect::Delay(pause) => std::thread::sleep(*pause),
                _ => {}
            }
        }
        let answer = self.answer(&body);
        if self.effects.iter().any(|effect| matches!(effect, Effect::CloseAfterwards)) {
            return Ok(false);
        }
        self.write(stream, answer)
    }

    fn refusal_of_body(&self) -> Option<Exchange> {
        let length = self.head.content_length().unwrap_or(0);
        let state = self.shared.state();
        if length > state.uploads.body_bytes_max {
            return Some(Exchange::new(413).with_body(*b"<html>413 Request Entity Too Large</html>"));
        }
        if self.page.route != Route::Upload {
            return None;
        }
        let unsupported = || Some(Exchange::error(405, "UNSUPPORTED", "The operation is unsupported."));
        match self.head.method.as_str() {
            "PATCH" if !state.uploads.patch => unsupported(),
            "PATCH" if !state.uploads.chunks && self.head.header("content-range").is_some() => unsupported(),
            "PUT" if length > state.uploads.put_bytes_max => {
                Some(Exchange::new(413).with_body(*b"<html>413 Request Entity Too Large</html>"))
            }
            "PUT" if length > 0 && !state.uploads.put_with_body => unsupported(),
            "PATCH" | "PUT" if length > 0 => {
                refusal(self.shared, &state, &self.head, &self.page).or_else(|| self.wrong_position(&state))
            }
            _ => None,
        }
    }

    /// A chunk must begin where the upload ends.
    fn wrong_position(&self, state: &super::State) -> Option<Exchange> {
        let length = state.content.uploads.get(&self.page.name)?.len();
        let start = self.head.header("content-range").and_then(|range| range.split_once('-')?.0.parse::<usize>().ok());
        let fits = start.is_none_or(|start| start == length) || state.uploads.patch_overwrites;
        (!fits).then(|| Exchange::error(416, "BLOB_UPLOAD_INVALID", "chunk out of order"))
    }

    /// The request's body, or for an upload nothing, since its bytes go there as they come. `None` closes the connection.
    fn read_body<S: Stream>(&mut self, stream: &mut BufReader<S>) -> io::Result<Option<Vec<u8>>> {
        let limit = self.effects.iter().find_map(|effect| match effect {
            Effect::CutRequestAfter(bytes) => Some(*bytes),
            _ => None,
        });
        let to_upload = self.page.route == Route::Upload && matches!(self.head.method.as_str(), "PATCH" | "PUT");
        let (shared, request, page, head) = (self.shared, &mut self.request, &self.page, &self.head);
        if to_upload && head.method == "PATCH" {
            let mut state = shared.state();
            let overwrites = state.uploads.patch_overwrites;
            if let Some(upload) = state.content.uploads.get_mut(&page.name).filter(|_| overwrites) {
                upload.clear();
            }
        }
        let mut body = Vec::new();
        let whole = read_body(stream, head, |piece| {
            let room = limit.map_or(u64::MAX, |limit| limit - request.received);
            let piece = &piece[..piece.len().min(usize::try_from(room).unwrap_or(usize::MAX))];
            request.received += piece.len() as u64;
            if !to_upload {
                body.extend_from_slice(piece);
            } else if let Some(upload) = shared.state().content.uploads.get_mut(&page.name) {
                upload.extend_from_slice(piece);
            }
            limit != Some(request.received)
        })?;
        Ok(whole.then_some(body))
    }

    fn answer(&self, body: &[u8]) -> Exchange {
        let instead = self.effects.iter().find_map(|effect| match effect {
            Effect::Answer { status, headers, body } => {
                Some(Exchange { status: *status, headers: headers.clone(), body: body.clone().into() })
            }
            Effect::RedirectTo(status, base) => {
                let query = if self.head.query.is_empty() { String::new() } else { format!("?{}", self.head.query) };
                Some(Exchange::new(*status).with("Location", &format!("{base}{}{query}", self.head.path)))
            }
            _ => None,
        });
        let ignore_range = self.effects.iter().any(|effect| matches!(effect, Effect::IgnoreRange));
        let mut answer = instead.unwrap_or_else(|| answer(self.shared, &self.head, &self.page, body, ignore_range));
        for effect in &self.effects {
            match effect {
                Effect::Body(body) => answer.body = body.clone().into(),
                Effect::SetHeader(name, value) => answer.set(name, value),
                Effect::RemoveHeader(name) => answer.remove(name),
                _ => {}
            }
        }
        answer
    }

    /// Writes the answer, wrongly where the script says so; returns whether the connection goes on.
    fn write<S: Stream>(&mut self, stream: &mut BufReader<S>, mut answer: Exchange) -> io::Result<bool> {
        let has = |wanted: fn(&Effect) -> bool| self.effects.iter().any(wanted);
        let endless = has(|effect| matches!(effect, Effect::Endless));
        let without_length = self
            .effects
            .iter()
            .any(|effect| matches!(effect, Effect::RemoveHeader(name) if name.eq_ignore_ascii_case("content-length")));
        let chunked = endless || without_length;
        let lies = answer.has("content-length");
        if chunked {
            answer.set("Transfer-Encoding", "chunked");
        } else if !lies && answer.status != 204 {
            answer.set("Content-Length", &answer.body.len().to_string());
        }
        self.request.status = answer.status;
        self.note();
        let output = stream.get_mut();
        output.write_all(&head_bytes(&answer))?;
        if self.head.method == "HEAD" {
            output.flush()?;
            return Ok(true);
        }
        if endless {
            return self.write_endlessly(output);
        }
        let whole = self.write_body(output, &answer.body, chunked)?;
        output.flush()?;
        // After a wrong length nobody knows where the next answer begins.
        Ok(whole && !lies && self.request.status != 413)
    }

    fn write_endlessly(&mut self, output: &mut impl Write) -> io::Result<bool> {
        let chunk = [b"1000\r\n".as_slice(), &[b'x'; 0x1000], b"\r\n"].concat();
        while !self.shared.stop.load(Ordering::SeqCst) {
            self.request.sent += 0x1000;
            self.note();
            output.write_all(&chunk)?;
        }
        Ok(false)
    }

    fn write_body(&mut self, output: &mut impl Write, body: &[u8], chunked: bool) -> io::Result<bool> {
        let (mut step, mut pause, mut cut) = (64 << 10, Duration::ZERO, u64::MAX);
        for effect in &self.effects {
            match effect {
                Effect::Drip(bytes, between) => (step, pause) = ((*bytes).max(1), *between),
                Effect::CutAfter(bytes) => cut = *bytes,
                _ => {}
            }
        }
        for piece in body.chunks(step) {
            let room = usize::try_from(cut - self.request.sent).unwrap_or(usize::MAX);
            let piece = &piece[..piece.len().min(room)];
            self.request.sent += piece.len() as u64;
            self.note();
            if chunked && !piece.is_empty() {
                write!(output, "{:x}\r\n", piece.len())?;
            }
            output.write_all(piece)?;
            if chunked && !piece.is_empty() {
                output.write_all(b"\r\n")?;
            }
            output.flush()?;
            self.shared.sent.fetch_add(piece.len() as u64, Ordering::SeqCst);
            if self.request.sent == cut {
                return Ok(false);
            }
            if !pause.is_zero() {
                std::thread::sleep(pause);
            }
        }
        if chunked {
            output.write_all(b"0\r\n\r\n")?;
        }
        Ok(true)
    }
}
