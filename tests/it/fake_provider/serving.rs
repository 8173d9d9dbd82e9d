//! One connection: reads requests and does with each what the script says.

use std::sync::atomic::Ordering;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::fake_provider::{Arrival, Reply, Response, Shared};

/// Answers one request after the other, until either side has had enough.
pub(super) async fn serve(mut stream: TcpStream, shared: &Shared) {
    stream.set_nodelay(true).unwrap();
    let mut buffer = Vec::new();
    while let Some(arrival) = read_request(&mut stream, &mut buffer).await {
        let mut reply = shared.record(&arrival);
        while let Reply::After(release, then) = reply {
            release.cancelled().await;
            reply = *then;
        }
        if carry_out(reply, &mut stream, shared).await.is_none() {
            return;
        }
    }
    if !buffer.is_empty() {
        shared.unfinished.lock().unwrap().push(buffer);
        shared.arrived.notify_waiters();
    }
}

/// Does what the script says; `None` at the end of the connection.
async fn carry_out(reply: Reply, stream: &mut TcpStream, shared: &Shared) -> Option<()> {
    match reply {
        Reply::Respond(response) => stream.write_all(&response.bytes()).await.ok(),
        Reply::Drip(response) => {
            for byte in response.bytes() {
                stream.write_all(&[byte]).await.ok()?;
                tokio::task::yield_now().await;
            }
            Some(())
        }
        Reply::Cut(response, count) => {
            let bytes = response.bytes();
            let _ = stream.write_all(&bytes[..count.min(bytes.len())]).await;
            None
        }
        Reply::Flood(response, count) => {
            flood(&response, count, stream, shared).await;
            None
        }
        Reply::Reset => {
            let _ = stream.set_zero_linger();
            None
        }
        // Whatever the client does next is read and left unanswered, until it goes.
        Reply::Hang | Reply::After(..) => {
            while stream.read(&mut [0; 1024]).await.is_ok_and(|count| count > 0) {}
            None
        }
    }
}

async fn flood(response: &Response, count: u64, stream: &mut TcpStream, shared: &Shared) {
    const PIECE: &[u8; 16 * 1024] = &[b' '; 16 * 1024];
    let head = format!("{}transfer-encoding: chunked\r\n\r\n", response.head());
    if stream.write_all(head.as_bytes()).await.is_err() {
        return;
    }
    let piece = [format!("{:x}\r\n", PIECE.len()).as_bytes(), PIECE, b"\r\n"].concat();
    let mut sent = 0;
    while sent < count && stream.write_all(&piece).await.is_ok() {
        sent += 16 * 1024;
        shared.flooded_bytes.fetch_add(16 * 1024, Ordering::AcqRel);
    }
}

/// Reads the next request; `None` at the end of the connection.
async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Arrival> {
    let head_end = loop {
        if let Some(position) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break position;
        }
        read_more(stream, buffer).await?;
    };
    let head = String::from_utf8(buffer[..head_end].to_vec()).expect("a head of UTF-8");
    let mut lines = head.split("\r\n");
    let mut request_line = lines.next()?.split(' ');
    let (method, target) = (request_line.next()?, request_line.next()?);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut arrival = Arrival {
        method: method.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers,
        body: Vec::new(),
        size: 0,
    };
    let announced = arrival.header("content-length").unwrap_or("0").parse::<usize>();
    let body_end = head_end + 4 + announced.expect("a length in decimal");
    while buffer.len() < body_end {
        read_more(stream, buffer).await?;
    }
    arrival.body = buffer[head_end + 4..body_end].to_vec();
    arrival.size = body_end;
    buffer.drain(..body_end);
    Some(arrival)
}

async fn read_more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<()> {
    match stream.read_buf(buffer).await {
        Ok(0) | Err(_) => None,
        Ok(_) => Some(()),
    }
}
