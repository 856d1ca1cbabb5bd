//! A web proxy and a TLS server on loopback that count. Also compiled into the worker's unit tests.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The authority that signed [`TlsServer`]'s certificate; no machine trusts it.
const CA: &[u8] = include_bytes!("../certificates/ca.pem");
/// For `cloud.test`, names below it, `localhost` and 127.0.0.1, until 2126.
const CERTIFICATE: &[u8] = include_bytes!("../certificates/server.pem");
const KEY: &[u8] = include_bytes!("../certificates/server.key");

/// A proxy that tunnels every CONNECT to one address, whatever host was asked for, and answers other requests itself.
pub struct Proxy {
    pub address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    pub async fn start(tunnel_to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
        let address = listener.local_addr().expect("address");
        let heads = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&heads);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let seen = Arc::clone(&seen);
                tokio::spawn(async move { serve(client, tunnel_to, &seen).await });
            }
        });
        Self { address, heads }
    }

    /// First lines of the requests so far, e.g. `CONNECT cloud.test:443 HTTP/1.1`.
    pub fn requests(&self) -> Vec<String> {
        let heads = self.heads.lock().expect("not poisoned");
        heads
            .iter()
            .filter_map(|head| head.lines().next().map(ToOwned::to_owned))
            .collect()
    }

    /// Whether some request had this header line.
    pub fn saw_header(&self, line: &str) -> bool {
        let heads = self.heads.lock().expect("not poisoned");
        heads
            .iter()
            .any(|head| head.lines().any(|other| other.eq_ignore_ascii_case(line)))
    }
}

async fn serve(mut client: TcpStream, tunnel_to: SocketAddr, seen: &Mutex<Vec<String>>) {
    let Some(head) = read_head(&mut client).await else {
        return;
    };
    let is_tunnel = head.starts_with("CONNECT ");
    seen.lock().expect("not poisoned").push(head);
    if !is_tunnel {
        client.write_all(EMPTY_OBJECT).await.ok();
        return;
    }
    let mut server = TcpStream::connect(tunnel_to).await.expect("server");
    client
        .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
        .await
        .ok();
    copy_bidirectional(&mut client, &mut server).await.ok();
}

/// An answer that every JSON service's client takes.
const EMPTY_OBJECT: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";

async fn read_head(stream: &mut (impl AsyncReadExt + Unpin)) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

/// The authority as a file, for `AWS_CA_BUNDLE`.
pub fn ca_file() -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("file");
    std::fs::write(file.path(), CA).expect("written");
    file
}

/// A server with a certificate of [`ca_file`]'s authority.
pub struct TlsServer {
    pub address: SocketAddr,
}

impl TlsServer {
    /// `backend`: where the decrypted bytes go; `None`: each request is answered with an empty JSON object.
    pub async fn start(backend: Option<SocketAddr>) -> Self {
        let certificates = CertificateDer::pem_slice_iter(CERTIFICATE)
            .collect::<Result<Vec<_>, _>>()
            .expect("certificate");
        let key = PrivateKeyDer::from_pem_slice(KEY).expect("key");
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(certificates, key)
            .expect("the key fits");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
        let address = listener.local_addr().expect("address");
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(mut client) = acceptor.accept(client).await else {
                        return;
                    };
                    match backend {
                        Some(backend) => {
                            let mut server = TcpStream::connect(backend).await.expect("backend");
                            copy_bidirectional(&mut client, &mut server).await.ok();
                        }
                        None if read_head(&mut client).await.is_some() => {
                            client.write_all(EMPTY_OBJECT).await.ok();
                            client.shutdown().await.ok();
                        }
                        None => {}
                    }
                });
            }
        });
        Self { address }
    }
}
