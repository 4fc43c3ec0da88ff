//! A WebSocket over a blocking stream. What is sent is written when the output is full or the next message has to be
//! waited for, so that small messages share a write.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;

use tidegate::proto::ws::{
    CloseCode, CloseFrame, Connection, Event, HeadLimits, Limits, MessageKind, Request, Role, SendError,
    ServerHandshake, no_key,
};

use crate::Failure;

pub(crate) struct Socket {
    stream: TcpStream,
    connection: Connection,
}

impl Socket {
    /// Accepts the opening handshake that `request` asks for.
    pub(crate) fn accept(mut stream: TcpStream, request: &Request) -> Result<Self, Failure> {
        stream.write_all(&request.accept(None)?.to_bytes())?;
        let mut connection = Connection::new(Role::Server, Limits::default());
        connection.receive(&request.rest);
        Ok(Self { stream, connection })
    }

    /// Reads the request of an opening handshake.
    pub(crate) fn read_request(stream: &mut TcpStream) -> Result<Request, Failure> {
        stream.set_nodelay(true)?;
        let mut handshake = ServerHandshake::new(HeadLimits::default());
        let mut buffer = [0; 4_096];
        loop {
            let n = stream.read(&mut buffer)?;
            if n == 0 {
                return Err("no request came".into());
            }
            if let Some(request) = handshake.receive(buffer.get(..n).unwrap_or_default())? {
                return Ok(request);
            }
        }
    }

    /// The next event; `None` after the peer's close frame or its end.
    pub(crate) fn next(&mut self) -> Result<Option<Event>, Failure> {
        loop {
            match self.connection.poll_event(no_key)? {
                Some(Event::Close(_)) => return Ok(None),
                Some(event) => return Ok(Some(event)),
                None => {}
            }
            self.flush()?;
            let n = self.stream.read(self.connection.spare())?;
            if n == 0 {
                return Ok(None);
            }
            self.connection.filled(n);
        }
    }

    /// Sends a message.
    pub(crate) fn send(&mut self, kind: MessageKind, bytes: &[u8]) -> Result<(), Failure> {
        while let Err(error) = self.connection.send_message(kind, bytes, true, no_key) {
            let SendError::OutputFull { .. } = error else { return Err(error.into()) };
            self.flush()?;
        }
        Ok(())
    }

    /// Closes, if the peer has not, and reads until it has gone.
    pub(crate) fn part(mut self) -> Result<(), Failure> {
        // Refused when the peer's has been answered.
        let _ = self.connection.send_close(Some(&CloseFrame::new(CloseCode::NORMAL, "")?), no_key);
        self.flush()?;
        while self.next()?.is_some() {}
        self.flush()?;
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.write_all(self.connection.output())?;
        self.connection.consume(self.connection.pending());
        Ok(())
    }
}
