//! Everything up to the open connection, over streams in memory, dropped at every poll.

use core::task::Waker;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadBuf};
use tokio::task::{JoinHandle, yield_now};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::dial::AnyStream;
use super::*;
use crate::proto::ws::{ClientHandshake, ClientRequest, HeadLimits, ProxyTunnel, ServerHandshake};

/// What is known about a stream from outside.
#[derive(Default)]
struct Count {
    /// Bytes that were read and written.
    moved: AtomicUsize,
    dropped: AtomicBool,
}

/// A stream that moves a few bytes at a time and lets its user wait in between.
struct Trickle {
    stream: DuplexStream,
    count: Arc<Count>,
    /// Whether it has waited before this read, and before this write.
    waited: [bool; 2],
}

/// How much goes at once: so little that no part of a handshake goes in one piece.
const PIECE: usize = 100;

impl Trickle {
    /// Every other time, to come back at once.
    fn waits(&mut self, which: usize, waker: &Waker) -> bool {
        self.waited[which] = !self.waited[which];
        if self.waited[which] {
            waker.wake_by_ref();
        }
        self.waited[which]
    }
}

impl Drop for Trickle {
    fn drop(&mut self) {
        self.count.dropped.store(true, Ordering::SeqCst);
    }
}

impl AsyncRead for Trickle {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.waits(0, cx.waker()) {
            return Poll::Pending;
        }
        let mut bytes = [0; PIECE];
        let mut piece = ReadBuf::new(&mut bytes[..buf.remaining().min(PIECE)]);
        let polled = Pin::new(&mut self.stream).poll_read(cx, &mut piece);
        self.count.moved.fetch_add(piece.filled().len(), Ordering::SeqCst);
        buf.put_slice(piece.filled());
        polled
    }
}

impl AsyncWrite for Trickle {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.waits(1, cx.waker()) {
            return Poll::Pending;
        }
        let polled = Pin::new(&mut self.stream).poll_write(cx, &bytes[..bytes.len().min(PIECE)]);
        if let Poll::Ready(Ok(n)) = polled {
            self.count.moved.fetch_add(n, Ordering::SeqCst);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A server's TLS, and a client's that trusts it.
fn tls() -> (TlsAcceptor, Arc<ClientConfig>) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["example.com".to_owned()]).unwrap();
    let certificate = certificate.signed_by(&key, &issuer).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(ring::default_provider());
    let server = ServerConfig::builder_with_provider(provider.clone());
    let server = server.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let server = server.with_single_cert(vec![certificate.der().clone()], key).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(issuer.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let client = client.with_root_certificates(roots).with_no_client_auth();
    (TlsAcceptor::from(Arc::new(server)), Arc::new(client))
}

/// A proxy that leads to a server behind TLS, on one stream. Ends when the client goes.
async fn serve(mut stream: DuplexStream, acceptor: TlsAcceptor) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    assert!(head.starts_with(b"CONNECT example.com:443 "));
    if stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.is_err() {
        return;
    }
    let Ok(mut stream) = acceptor.accept(stream).await else { return };
    let mut handshake = ServerHandshake::new(HeadLimits::default());
    let mut bytes = [0; 1024];
    let request = loop {
        let n = match stream.read(&mut bytes).await {
            Ok(n) if n > 0 => n,
            _ => return,
        };
        if let Some(request) = handshake.receive(&bytes[..n]).unwrap() {
            break request;
        }
    };
    let mut answer = request.accept(None).unwrap().to_bytes();
    answer.extend(b"\x81\x05hello");
    if stream.write_all(&answer).await.is_ok() && stream.flush().await.is_ok() {
        let _ = stream.read(&mut bytes).await;
    }
}

/// Connects through the proxy of [`serve`], with TLS inside.
fn connecting(
    acceptor: &TlsAcceptor,
    config: &Arc<ClientConfig>,
) -> (Connecting<AnyStream>, Arc<Count>, JoinHandle<()>) {
    let (ours, theirs) = tokio::io::duplex(PIECE);
    let server = tokio::spawn(serve(theirs, acceptor.clone()));
    let count = Arc::new(Count::default());
    let mut stream = Trickle { stream: ours, count: count.clone(), waited: [false; 2] };
    let config = config.clone();
    let connecting = Box::pin(async move {
        tunnel(&mut stream, ProxyTunnel::new("example.com:443", None, HeadLimits::default()).unwrap())
            .await?;
        let mut stream: AnyStream = Box::new(tls::handshake(stream, "example.com", config).await?);
        let request = ClientRequest::new("example.com", "/").unwrap();
        let handshake = ClientHandshake::new(request, Keys::new().nonce(), HeadLimits::default());
        let accepted = greet(&mut stream, handshake).await?;
        Ok(Established { stream, accepted })
    });
    (connecting, count, server)
}

#[test]
fn b67_connecting_can_be_dropped_at_every_poll_of_every_stage() {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true).build().unwrap().block_on(async {
        let (acceptor, config) = tls();
        for polls in 0.. {
            assert!(polls < 1_000, "it never opens");
            let (connecting, count, server) = connecting(&acceptor, &config);
            let transport = NativeTransport::connecting(connecting, Options::default());
            let waker = Waker::noop();
            let mut cx = Context::from_waker(waker);
            for _ in 0..polls {
                let _ = transport.poll_io(&mut cx, true, Timestamp::ZERO);
                yield_now().await;
            }
            let moved = count.moved.load(Ordering::SeqCst);
            if matches!(transport.next_event(true), Some(TransportEvent::Opened)) {
                // What came in the segment of the response is there.
                let _ = transport.poll_io(&mut cx, true, Timestamp::ZERO);
                let Some(TransportEvent::Message(Incoming::Message(Payload::Text(text)))) =
                    transport.next_event(true)
                else {
                    panic!("no message")
                };
                assert_eq!(text, "hello");
                transport.abort();
                assert!(count.dropped.load(Ordering::SeqCst));
                server.await.unwrap();
                assert!(polls > 20 && moved > 1_000, "{polls} polls, {moved} bytes");
                return;
            }
            assert!(!count.dropped.load(Ordering::SeqCst));
            // By the session, when the caller has given up; and as a whole, when its task ends.
            if polls % 2 == 0 {
                transport.abort();
                assert!(transport.next_event(true).is_none());
            } else {
                drop(transport);
            }
            assert!(count.dropped.load(Ordering::SeqCst), "after {polls} polls the stream is held");
            server.await.unwrap();
        }
    });
}
