//! Which providers are spoken to by TLS: those that prove who they are, and by TLS 1.2 at least.
//!
//! The program trusts the authority of this folder through `SSL_CERT_FILE`, as an operator's own authority is trusted.
//! The certificates were made with OpenSSL, for 127.0.0.1 unless said otherwise; their key opens nothing.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::version::{TLS12, TLS13};

use crate::accounts::Account;
use crate::command_line;

fn file(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/tls")).join(name)
}

/// A server with this certificate.
fn acceptor(
    certificate: &str,
    versions: &[&'static tokio_rustls::rustls::SupportedProtocolVersion],
) -> TlsAcceptor {
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let chain = vec![CertificateDer::from_pem_file(file(certificate)).unwrap()];
    let key = PrivateKeyDer::from_pem_file(file("server-key.pem")).unwrap();
    let settings = ServerConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
    TlsAcceptor::from(Arc::new(settings.with_no_client_auth().with_single_cert(chain, key).unwrap()))
}

/// Whether a request was read behind a whole handshake.
async fn serve(acceptor: TlsAcceptor, stream: TcpStream) -> bool {
    let Ok(mut stream) = acceptor.accept(stream).await else { return false };
    let mut bytes = [0; 4096];
    let count = stream.read(&mut bytes).await.unwrap_or(0);
    let answer = b"HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    drop(stream.write_all(answer).await);
    drop(stream.shutdown().await);
    count > 0
}

/// What a server of TLS 1.1 answers to whoever greets it: that it is one; and whether it is spoken to further.
async fn serve_tls_1_1(mut stream: TcpStream) -> bool {
    let mut bytes = [0; 4096];
    assert_ne!(stream.read(&mut bytes).await.unwrap(), 0);
    // Source: RFC 4346, sections 6.2.1, 7.4 and 7.4.1.3: a handshake record with a ServerHello of version 3.2, 32
    // random bytes, no session, TLS_RSA_WITH_AES_128_CBC_SHA, no compression.
    let hello = [&[3, 2][..], &[7; 32], &[0, 0, 0x2f, 0]].concat();
    let length = u8::try_from(hello.len()).unwrap();
    let record = [&[22, 3, 2, 0, length + 4, 2, 0, 0, length][..], &hello].concat();
    stream.write_all(&record).await.unwrap();
    let count = stream.read(&mut bytes).await.unwrap_or(0);
    // An alert and the end, or the end alone.
    let rest = stream.read(&mut [0; 4096]).await.unwrap_or(0);
    (count > 0 && bytes[0] != 21) || rest > 0
}

/// What `imcast check --connect` says of a channel whose provider is at this port.
async fn check(port: u16) -> command_line::Ended {
    let account = Account::of("tencent_tim");
    let mut config = tempfile::NamedTempFile::new().unwrap();
    let toml = format!(
        "[channels.checked]\nprovider = 'tencent_tim'\nbase_url = 'https://127.0.0.1:{port}'\n{}\n",
        account.canaries
    );
    config.write_all(toml.as_bytes()).unwrap();
    let authority = file("authority.pem");
    let arguments = ["check", "--connect", "--config", config.path().to_str().unwrap()];
    command_line::end(command_line::start(&arguments, &[("SSL_CERT_FILE", authority.to_str().unwrap())]))
        .await
}

#[tokio::test]
async fn only_a_provider_that_proves_who_it_is_is_spoken_to() {
    for (certificate, versions, refusal) in [
        ("good.pem", &[&TLS12][..], None),
        ("good.pem", &[&TLS13], None),
        ("expired.pem", &[&TLS12, &TLS13], Some("expired")),
        ("early.pem", &[&TLS12, &TLS13], Some("not valid yet")),
        // For `provider.test`.
        ("elsewhere.pem", &[&TLS12, &TLS13], Some("not valid for name")),
        ("self-signed.pem", &[&TLS12, &TLS13], Some("UnknownIssuer")),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving =
            async { serve(acceptor(certificate, versions), listener.accept().await.unwrap().0).await };
        let (is_spoken_to, ended) = tokio::join!(serving, check(port));
        let said = ended.output + &ended.errors;
        assert_eq!(is_spoken_to, refusal.is_none(), "{certificate}: {said}");
        match refusal {
            None => assert!(said.contains("checked: ok: reached") || said.contains("reached;"), "{said}"),
            Some(reason) => {
                assert_eq!(ended.code, Some(1), "{said}");
                assert!(said.contains("not reached") && said.contains(reason), "{certificate}: {said}");
            }
        }
    }
}

#[tokio::test]
async fn a_provider_that_speaks_only_tls_1_1_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = async { serve_tls_1_1(listener.accept().await.unwrap().0).await };
    let (is_spoken_to, ended) = tokio::join!(serving, check(port));
    let said = ended.output + &ended.errors;
    assert!(!is_spoken_to, "{said}");
    assert_eq!(ended.code, Some(1), "{said}");
    assert!(said.contains("not reached") && said.contains("ServerDoesNotSupportTls12Or13"), "{said}");
}
