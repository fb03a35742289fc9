//! Attempts with proxies that are down, silent or not TLS servers, and with a closed link.

use super::*;
use crate::client::Trust;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpSocket};

struct WithoutCertificate;

impl TlsSource for WithoutCertificate {
    fn tls(&self, _: &str) -> Option<(ClientCertificateKind, TlsClient)> {
        let tls = TlsClient::new(Trust::PublicAnd(vec![]), None).unwrap();
        Some((ClientCertificateKind::None, tls))
    }
}

fn link(address: SocketAddr) -> ProxyLink {
    let link_settings = LinkSettings {
        host: "proxy.test".into(),
        path: "/kms/xks/v1".into(),
        region: "eu-west-1".into(),
        access_key_id: "A".repeat(20),
        secret: Secret::new("s".repeat(43)),
    };
    ProxyLink::new(link_settings, Arc::new(WithoutCertificate), Some(address))
}

async fn error(link: &ProxyLink, limit: Duration) -> ProxyError {
    let attempt = link.attempt("health", b"{}", limit).await;
    attempt.outcome.unwrap_err()
}

const LONG: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_port_without_listener_is_not_reachable() {
    // The system rejects connections to a bound socket that does not listen, and no other test gets its port.
    let mute = TcpSocket::new_v4().unwrap();
    mute.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = mute.local_addr().unwrap();
    assert_eq!(error(&link(address), LONG).await, ProxyError::NotReachable);
}

#[tokio::test]
async fn a_silent_proxy_times_out_and_a_closed_connection_is_not_reachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let link = link(listener.local_addr().unwrap());
    // No connection is accepted, so the handshake waits.
    let limit = Duration::from_millis(50);
    assert_eq!(error(&link, limit).await, ProxyError::TimedOut);
    let hang_up = tokio::spawn(async move {
        loop {
            drop(listener.accept().await);
        }
    });
    assert_eq!(error(&link, LONG).await, ProxyError::NotReachable);
    hang_up.abort();
}

#[tokio::test]
async fn a_plain_http_response_is_a_tls_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let link = link(listener.local_addr().unwrap());
    let plain = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .await
            .unwrap();
        stream
    });
    assert_eq!(error(&link, LONG).await, ProxyError::Tls);
    plain.await.unwrap();
}

#[tokio::test]
async fn a_closed_link_makes_no_call() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let link = link(listener.local_addr().unwrap());
    link.close();
    let attempt = link.attempt("health", b"{}", LONG).await;
    assert!(attempt.outcome.is_err() && attempt.connect.is_none());
    assert!(link.is_closed());
}
