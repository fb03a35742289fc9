//! The reasons why a call has no response, in the order of the steps of a call.

use std::error::Error;
use std::io;

use rustls::AlertDescription;
use thiserror::Error;

/// The reason why a call has no response.
#[derive(Debug, Error)]
pub enum CallError {
    /// The TCP connection failed.
    #[error("no connection: {0}")]
    Connect(io::Error),
    /// The TLS handshake failed.
    #[error("no TLS: {0}")]
    Tls(io::Error),
    /// The host is not a DNS name or an IP address.
    #[error("{0:?} is not a valid host name")]
    HostName(String),
    /// The connection failed before the whole response was received.
    #[error("no answer: {}", with_causes(.0))]
    Http(hyper::Error),
    /// The response is longer than the limit, or incomplete.
    #[error("the response is longer than 1 MiB, or incomplete")]
    Body,
    /// The path or the authority is not valid in a request.
    #[error("the path or the host is not valid in a request")]
    Request,
}

impl CallError {
    /// Returns a short text to count errors by. The set of texts is bounded.
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

    /// Returns whether one side rejected the other side's TLS. A network error during the handshake does not count.
    pub fn is_about_tls(&self) -> bool {
        match self {
            Self::Tls(error) => error
                .get_ref()
                .is_some_and(|cause| cause.is::<rustls::Error>()),
            other => other.is_about_client_certificate(),
        }
    }

    /// Returns whether the peer rejected our client certificate, or requires one.
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

/// Returns the alert with which the peer ended a handshake.
fn alert(error: &io::Error) -> Option<AlertDescription> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::AlertReceived(alert) => Some(*alert),
        _ => None,
    }
}

/// In TLS 1.3 the alert about a client certificate arrives after the handshake: before the request is sent, or while the response is read.
/// In the first case hyper wraps its own error in another one.
fn alert_in(error: &hyper::Error) -> Option<AlertDescription> {
    causes(error).find_map(|cause| alert(cause.downcast_ref::<io::Error>()?))
}

fn with_causes(error: &hyper::Error) -> String {
    causes(error).fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// Returns the causes of an error, the nearest first.
fn causes(error: &hyper::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(error.source(), |&cause| cause.source())
}
