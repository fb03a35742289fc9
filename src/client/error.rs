//! Why a call has no answer, in the order in which it may happen.

use std::error::Error;
use std::io;

use rustls::AlertDescription;
use thiserror::Error;

/// Why a call has no answer.
#[derive(Debug, Error)]
pub enum CallError {
    /// No TCP connection.
    #[error("no connection: {0}")]
    Connect(io::Error),
    /// No TLS session.
    #[error("no TLS: {0}")]
    Tls(io::Error),
    /// The host is neither a DNS name nor an address.
    #[error("{0:?} is not a name that a certificate could have")]
    HostName(String),
    /// The connection failed before the whole answer was there.
    #[error("no answer: {}", with_causes(.0))]
    Http(hyper::Error),
    /// The answer is longer than any of this API.
    #[error("the answer is longer than 1 MiB, or was cut off")]
    Body,
    /// The request could not be made: the path or the authority is not one.
    #[error("the path or the host cannot stand in a request")]
    Request,
}

impl CallError {
    /// One short text for it, of a bounded set, to be counted.
    pub fn kind(&self) -> String {
        match self {
            Self::Connect(error) => format!("no connection: {}", error.kind()),
            Self::Tls(error) => match alert(error) {
                Some(alert) => format!("no TLS: alert {alert:?}"),
                None => format!("no TLS: {}", error.kind()),
            },
            Self::Http(_) => "connection lost".to_owned(),
            Self::Body => "answer cut off".to_owned(),
            Self::HostName(_) | Self::Request => "not a request".to_owned(),
        }
    }

    /// Whether one side would not have the other's TLS; a handshake that the network broke is none of this.
    pub fn is_about_tls(&self) -> bool {
        match self {
            Self::Tls(error) => error
                .get_ref()
                .is_some_and(|cause| cause.is::<rustls::Error>()),
            other => other.is_about_client_certificate(),
        }
    }

    /// Whether the peer refused our certificate, or the lack of one.
    pub fn is_about_client_certificate(&self) -> bool {
        let found = match self {
            Self::Tls(error) => alert(error),
            Self::Http(error) => alert_in(error),
            _ => None,
        };
        use AlertDescription::{
            AccessDenied, BadCertificate, CertificateExpired, CertificateRequired,
            HandshakeFailure, UnknownCA,
        };
        matches!(
            found,
            Some(
                AccessDenied
                    | BadCertificate
                    | CertificateExpired
                    | CertificateRequired
                    | HandshakeFailure
                    | UnknownCA
            )
        )
    }
}

/// The alert with which the peer ended a handshake.
fn alert(error: &io::Error) -> Option<AlertDescription> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::AlertReceived(alert) => Some(*alert),
        _ => None,
    }
}

/// In TLS 1.3 the alert about a client certificate comes after the handshake: while the response is read, or before the request is sent.
/// In the second case hyper wraps its own error once more.
fn alert_in(error: &hyper::Error) -> Option<AlertDescription> {
    causes(error).find_map(|cause| alert(cause.downcast_ref::<io::Error>()?))
}

fn with_causes(error: &hyper::Error) -> String {
    causes(error).fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// The causes of an error, the nearest first.
fn causes(error: &hyper::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(error.source(), |&cause| cause.source())
}
