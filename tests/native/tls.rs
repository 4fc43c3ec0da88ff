//! `wss:` against tidegate's own server behind rustls: the suite, certificates, and ends without a word of TLS.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tidegate::server::{AcceptOptions, accept};
use tidegate::{
    Client, ClientBuilder, CloseCause, ConnectError, Message, TlsError, TlsOptions, TransportError,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::server::TlsStream;

use crate::own::{self, read_request};
use crate::{block_on, suite};

/// Who issues certificates for one test.
pub(crate) struct Issuer(CertifiedIssuer<'static, KeyPair>);

impl Issuer {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Another name than what it issues has, or OpenSSL takes each for its own issuer.
        params.distinguished_name.push(DnType::CommonName, "issuer of the tests");
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Options that trust this issuer and nobody else.
    pub(crate) fn trusted(&self) -> TlsOptions {
        TlsOptions::with_only_roots([self.0.der()]).unwrap()
    }

    /// Its own certificate.
    pub(crate) fn root_pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for this machine, and its key.
    pub(crate) fn pem_for_this_machine(&self) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }

    /// A server whose certificate is for `name`, as `change` says.
    fn server(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        change(&mut params);
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        // The server would rather speak HTTP/2, as many do.
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }

    /// As [`server`](Self::server), for this machine.
    pub(crate) fn local_server(&self) -> TlsAcceptor {
        self.server("127.0.0.1", |_| ())
    }
}

/// Routes on a port of this machine, behind TLS.
pub(crate) struct TlsNet {
    pub(crate) port: u16,
    tls: TlsOptions,
}

impl suite::Net for TlsNet {
    async fn connect(
        &self,
        route: &str,
        describe: impl FnOnce(ClientBuilder) -> ClientBuilder,
    ) -> Result<Client, ConnectError> {
        let port = if route == "/refused" { crate::raw::closed_port() } else { self.port };
        let builder = Client::builder(format!("wss://127.0.0.1:{port}{route}")).tls(self.tls.clone());
        describe(builder).connect().await
    }

    async fn turn(&self) {
        tokio::task::yield_now().await;
    }
}

/// The own server in the runtime of the test, behind TLS.
async fn net() -> TlsNet {
    net_of(&Issuer::new()).await
}

/// As [`net`], with a certificate by `issuer`.
pub(crate) async fn net_of(issuer: &Issuer) -> TlsNet {
    let acceptor = issuer.local_server();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            let _ = stream.set_nodelay(true);
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    own::serve(stream).await;
                }
            });
        }
    });
    TlsNet { port, tls: issuer.trusted() }
}

crate::suite::for_every_transport!(run);
crate::suite::for_transports_with_a_task!(run);

/// A listener, and what connects to it by `wss:` and the name of this machine's address.
async fn listen() -> (TcpListener, ClientBuilder) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("wss://{}/", listener.local_addr().unwrap());
    (listener, Client::builder(url))
}

/// Both ends of one connection: the client, and the server's stream after its request was accepted.
async fn pair(issuer: &Issuer, acceptor: TlsAcceptor) -> (Client, TlsStream<TcpStream>) {
    let (listener, builder) = listen().await;
    let client = tokio::spawn(builder.tls(issuer.trusted()).connect());
    let mut stream = acceptor.accept(listener.accept().await.unwrap().0).await.unwrap();
    let request = read_request(&mut stream).await.unwrap();
    let response = request.accept(None).unwrap().to_bytes();
    tokio::io::AsyncWriteExt::write_all(&mut stream, &response).await.unwrap();
    (client.await.unwrap().unwrap(), stream)
}

/// How connecting fails to a server with a certificate of `acceptor`.
async fn fails(
    acceptor: TlsAcceptor,
    describe: impl FnOnce(ClientBuilder) -> ClientBuilder,
) -> TransportError {
    let (listener, builder) = listen().await;
    let server = tokio::spawn(async move { acceptor.accept(listener.accept().await.unwrap().0).await.err() });
    match describe(builder).connect().await {
        Err(ConnectError::Failed { closed, source: Some(source) }) => {
            assert_eq!((closed.code, closed.was_clean), (1006, false));
            server.abort();
            source
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn b05_a_certificate_that_is_not_trusted_is_a_typed_error() {
    block_on(async {
        let issuer = Issuer::new();
        let tls = issuer.trusted();
        // Of somebody else, for somebody else, and too old.
        let stranger = Issuer::new().local_server();
        let other_name = issuer.server("example.com", |_| ());
        let expired =
            issuer.server("127.0.0.1", |params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
        for acceptor in [stranger, other_name, expired] {
            let error = fails(acceptor, |builder| builder.tls(tls.clone())).await;
            let TransportError::Certificate { source: Some(source), .. } = &error else {
                panic!("{error:?}")
            };
            assert!(
                source.get_ref().and_then(|inner| inner.downcast_ref::<tidegate::rustls::Error>()).is_some()
            );
        }
        // Without options the platform is asked, which knows nothing of this issuer. One without any roots
        // says so.
        let error = fails(issuer.local_server(), |builder| builder).await;
        assert!(
            matches!(error, TransportError::Certificate { .. } | TransportError::Tls { .. }),
            "{error:?}"
        );
    });
}

#[test]
fn b05_a_server_that_does_not_speak_tls_is_a_typed_error() {
    block_on(async {
        for answer in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b""] {
            let (listener, builder) = listen().await;
            let connecting = tokio::spawn(builder.tls(Issuer::new().trusted()).connect());
            let mut stream = listener.accept().await.unwrap().0;
            // Read first: what is unread when a stream is dropped resets it.
            tokio::io::AsyncReadExt::read(&mut stream, &mut [0; 2048]).await.unwrap();
            tokio::io::AsyncWriteExt::write_all(&mut stream, answer).await.unwrap();
            drop(stream);
            let error = connecting.await.unwrap().expect_err("it must fail");
            let ConnectError::Failed { source: Some(source), .. } = error else { panic!("{error:?}") };
            assert!(matches!(source, TransportError::Tls { .. }), "{source:?}");
        }
    });
}

#[test]
fn b10_names_roots_in_pem_and_roots_besides_the_platforms_are_taken() {
    block_on(async {
        let issuer = Issuer::new();
        let pem = issuer.0.pem();
        let both = format!("{pem}{}", Issuer::new().0.pem());
        let all = [
            TlsOptions::with_only_roots([pem.as_bytes()]),
            TlsOptions::with_only_roots([both.as_bytes()]),
            TlsOptions::with_roots([issuer.0.der()]),
        ];
        for tls in all {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("wss://localhost:{}/", listener.local_addr().unwrap().port());
            let client = tokio::spawn(Client::builder(url).tls(tls.unwrap()).connect());
            let acceptor = issuer.server("localhost", |_| ());
            let mut stream = acceptor.accept(listener.accept().await.unwrap().0).await.unwrap();
            let request = read_request(&mut stream).await.unwrap();
            assert_eq!(request.host.split(':').next(), Some("localhost"));
            let server = accept(stream, &request, None, AcceptOptions::default()).unwrap();
            server.send("hello").await.unwrap();
            assert_eq!(client.await.unwrap().unwrap().recv().await, Some(Message::from("hello")));
        }
    });
}

#[test]
fn b05_roots_that_are_none_are_typed_errors() {
    for roots in [vec![], vec![&b""[..]], vec![b"no certificate"], vec![b"\x30\x03abc"]] {
        let error = TlsOptions::with_only_roots(&roots).expect_err("it must fail");
        assert!(matches!(error, TlsError::Root { .. }), "{roots:?}: {error:?}");
    }
}

#[test]
fn b10_http_2_is_never_spoken_whatever_configuration_is_given() {
    block_on(async {
        let issuer = Issuer::new();
        let mut roots = RootCertStore::empty();
        roots.add(issuer.0.der().clone()).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        for tls in [TlsOptions::with_config(config), issuer.trusted()] {
            let (listener, builder) = listen().await;
            let client = tokio::spawn(builder.tls(tls).connect());
            let stream = listener.accept().await.unwrap().0;
            let mut stream = issuer.local_server().accept(stream).await.unwrap();
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
            let request = read_request(&mut stream).await.unwrap();
            let _server = accept(stream, &request, None, AcceptOptions::default()).unwrap();
            client.await.unwrap().unwrap();
        }
    });
}

#[test]
fn b11_a_server_that_goes_without_a_word_of_tls_ends_cleanly_after_the_closing_handshake() {
    block_on(async {
        let issuer = Issuer::new();
        let (client, mut stream) = pair(&issuer, issuer.local_server()).await;
        // The server closes, reads the answer, and drops its TCP connection.
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"\x88\x02\x03\xe8").await.unwrap();
        let mut answer = [0; 8];
        tokio::io::AsyncReadExt::read_exact(&mut stream, &mut answer).await.unwrap();
        assert_eq!(answer[0], 0x88);
        drop(stream);
        let closed = client.closed().await;
        assert_eq!((closed.code, closed.was_clean, closed.cause), (1000, true, CloseCause::Peer));
        assert_eq!(client.failure(), None);
    });
}

#[test]
fn b11_a_server_that_goes_without_any_word_is_an_abnormal_close() {
    block_on(async {
        let issuer = Issuer::new();
        let (client, stream) = pair(&issuer, issuer.local_server()).await;
        drop(stream);
        let closed = client.closed().await;
        assert_eq!((closed.code, closed.was_clean, closed.cause), (1006, false, CloseCause::Peer));
        assert!(matches!(client.failure(), Some(TransportError::Io { .. })), "{:?}", client.failure());
    });
}
