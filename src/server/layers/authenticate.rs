//! Finds the key store by its path, reads the body within its limit and verifies the signature over exactly those bytes (XKS API, "Errors": method and
//! path → authentication → …).
//!
//! # Invariants
//! - An [`Authenticated`] exists for verified requests only, and the inner layer requires it.
//! - Every failed authentication has the same response, AuthenticationFailedException. Only the operator sees the reason.
//! - The bytes of a request count against a budget until its signature is verified, for every path and every access key id.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use http::header::EXPECT;
use http::request::Parts;
use http::{Method, Version};
use hyper::body::Body;
use prometheus::IntCounter;
use tower::{Layer, Service};

use super::body::{self, ReadError, ReadLimits};
use crate::clock::Deadline;
use crate::ekm::CallCount;
use crate::keystore::{KeyStore, VpcEndpointMode};
use crate::secret::SecretBytes;
use crate::server::live::Serving;
use crate::server::received::Received;
use crate::server::request::peer::Peer;
use crate::server::request::record::{Record, SignatureCheck};
use crate::server::response::{Response, ResponseFuture};
use crate::server::unverified::{Budget, HeldBytes};
use crate::sigv4::{Denied, PathForm, Scope, SignedRequest, Verified, Verifier};
use crate::xks::{ExternalKeyId, Fault, FaultKind, Operation, Route};

/// The service name in every credential scope (XKS API, "Authentication").
const SERVICE: &str = "kms-xks-proxy";

/// A request whose signature is verified.
pub(super) struct Authenticated {
    pub store: Arc<KeyStore>,
    pub serving: Arc<Serving>,
    pub operation: Operation,
    pub key_id: Option<ExternalKeyId>,
    pub body: SecretBytes,
    pub deadline: Deadline,
    pub record: Record,
    pub calls: CallCount,
    pub peer: Arc<Peer>,
}

/// Creates [`Authenticate`].
#[derive(Clone)]
pub(super) struct AuthenticateLayer(Arc<Authenticator>);

/// The state that all authentications share.
struct Authenticator {
    budget: Budget,
    /// Counts the requests that are rejected because of their VPC endpoint.
    rejected_endpoints: IntCounter,
}

impl AuthenticateLayer {
    pub(super) fn new(budget: Budget, rejected_endpoints: IntCounter) -> Self {
        Self(Arc::new(Authenticator {
            budget,
            rejected_endpoints,
        }))
    }
}

/// Authenticates the requests to the inner service.
#[derive(Clone)]
pub(super) struct Authenticate<S> {
    inner: S,
    authenticator: Arc<Authenticator>,
}

impl<S> Layer<S> for AuthenticateLayer {
    type Service = Authenticate<S>;

    fn layer(&self, inner: S) -> Authenticate<S> {
        let authenticator = Arc::clone(&self.0);
        Authenticate {
            inner,
            authenticator,
        }
    }
}

impl<S, B> Service<Received<B>> for Authenticate<S>
where
    S: Service<Authenticated, Response = Response, Error = Fault> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: std::error::Error + 'static,
{
    type Response = Response;
    type Error = Fault;
    type Future = ResponseFuture<Fault>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Received<B>) -> Self::Future {
        let mut inner = self.inner.clone();
        let authenticator = Arc::clone(&self.authenticator);
        Box::pin(async move {
            let authenticated = authenticator.authenticate(request).await?;
            inner.call(authenticated).await
        })
    }
}

impl Authenticator {
    async fn authenticate<B>(&self, request: Received<B>) -> Result<Authenticated, Fault>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: std::error::Error + 'static,
    {
        let Received {
            head,
            body,
            peer,
            serving,
            deadline,
            record,
            ..
        } = request;
        let mut held = self.hold(&head, &peer, serving.limits.max_body)?;
        let body_deadline = Deadline::after(serving.limits.body_timeout).min(deadline);
        let (store, operation, key_id) = match route(&serving, &head, &record) {
            Ok(route) => route,
            Err(fault) => {
                body::discard(body, &head.headers, body_deadline).await;
                return Err(fault);
            }
        };
        let limits = Self::read_limits(&serving, &head, body_deadline);
        let body = body::read(body, limits, &mut held).await;
        let body = body.map_err(|error| note_read_error(error, &record))?;
        self.check_endpoint(&peer, &store, &record)?;
        let calls = verify(&head, &store, body.expose(), &record)?;
        peer.mark_verified();
        drop(held);
        Ok(Authenticated {
            store,
            serving,
            operation,
            key_id,
            body,
            deadline,
            record,
            calls,
            peer,
        })
    }

    /// Reserves the bytes of the request's head in the budget of unverified requests.
    fn hold(&self, head: &Parts, peer: &Peer, max_body: usize) -> Result<HeldBytes, Fault> {
        let held = self
            .budget
            .hold(peer.client_class(), length_of(head), max_body);
        held.ok_or_else(body::overload)
    }

    /// Rejects a request from a VPC endpoint that the store does not allow, with the same response as for a wrong signature.
    fn check_endpoint(&self, peer: &Peer, store: &KeyStore, record: &Record) -> Result<(), Fault> {
        let endpoints = &store.vpc_endpoints;
        let endpoint = peer.vpc_endpoint();
        if endpoints.allows(endpoint) {
            return Ok(());
        }
        record.facts().is_unlisted_endpoint = true;
        if endpoints.mode == VpcEndpointMode::Observe {
            return Ok(());
        }
        self.rejected_endpoints.inc();
        let reason = match endpoint {
            Some(id) => format!("the key store does not allow the VPC endpoint {id}"),
            None => "the connection does not come through a VPC endpoint".to_owned(),
        };
        Err(Fault::because(FaultKind::AuthenticationFailed, reason))
    }

    fn read_limits(serving: &Serving, head: &Parts, deadline: Deadline) -> ReadLimits {
        ReadLimits {
            max_length: serving.limits.max_body,
            deadline,
            expects_continue: head.headers.contains_key(EXPECT),
            is_stream: head.version == Version::HTTP_2,
        }
    }
}

/// Finds key store, operation and key id of the request, and records them.
fn route(
    serving: &Serving,
    head: &Parts,
    record: &Record,
) -> Result<(Arc<KeyStore>, Operation, Option<ExternalKeyId>), Fault> {
    // HTTP/1.1 allows a whole URI as the request target. The proxy serves the scheme https only.
    if !matches!(head.uri.scheme_str(), None | Some("https")) {
        return Err(FaultKind::PathUnknown.into());
    }
    let route = Route::parse(head.uri.path()).map_err(|_| FaultKind::PathUnknown)?;
    if head.method != Method::POST {
        return Err(FaultKind::MethodNotAllowed.into());
    }
    let store = serving.stores.at(route.prefix);
    let store = store.ok_or(FaultKind::KeyStoreUnknown)?;
    let mut facts = record.facts();
    facts.operation = Some(route.operation);
    facts.key_store = Some(Arc::clone(&store.name));
    facts.key_id.clone_from(&route.key_id);
    Ok((Arc::clone(store), route.operation, route.key_id))
}

/// Returns the error, and records if the client has disconnected.
fn note_read_error(error: ReadError, record: &Record) -> Fault {
    match error {
        ReadError::Rejected(fault) => fault,
        ReadError::Disconnected(fault) => {
            record.facts().has_disconnected = true;
            fault
        }
    }
}

/// Returns the memory that a head needs in bytes: its texts, and their entries in the header map.
fn length_of(head: &Parts) -> usize {
    const ENTRY: usize = 64;
    let target = head.uri.path().len() + head.uri.query().map_or(0, str::len);
    let fields = head.headers.iter();
    let fields = fields.map(|(name, value)| name.as_str().len() + value.len() + ENTRY);
    target + fields.sum::<usize>()
}

/// Verifies the signature and records the result. Returns the count of the request's HSM calls.
fn verify(
    head: &Parts,
    store: &KeyStore,
    body: &[u8],
    record: &Record,
) -> Result<CallCount, Fault> {
    let request = SignedRequest {
        method: head.method.as_str(),
        path: head.uri.path(),
        query: head.uri.query(),
        headers: &head.headers,
        authority: authority(head),
        body,
    };
    let verifier = Verifier {
        credentials: &store.credentials,
        scope: Scope {
            region: &store.region,
            service: SERVICE,
        },
        path_form: PathForm::Normalized,
    };
    let now = SystemTime::now();
    let started = Instant::now();
    let outcome = verifier.verify(&request, now);
    let took = started.elapsed();
    let mut facts = record.facts();
    facts.request_bytes = u64::try_from(body.len()).ok();
    let verified = outcome.as_ref().ok();
    facts.signature = SignatureCheck {
        took,
        skew: verified.map(|verified| skew(verified.signed_at, now)),
        denied: outcome.as_ref().err().map(Denied::reason),
    };
    facts.access_key_id = verified.map(|verified| verified.credential.id().clone());
    let calls = facts.calls.clone();
    drop(facts);
    match outcome {
        Ok(Verified { credential, .. }) => {
            store.credential_use.note(credential.id(), now);
            Ok(calls)
        }
        Err(denied) => Err(Fault::because(
            FaultKind::AuthenticationFailed,
            denied.to_string(),
        )),
    }
}

/// Returns by how many seconds this host's clock is ahead of the client's. `X-Amz-Date` has whole seconds only.
fn skew(signed_at: SystemTime, now: SystemTime) -> f64 {
    match now.duration_since(signed_at) {
        Ok(ahead) => ahead.as_secs_f64(),
        Err(behind) => -behind.duration().as_secs_f64(),
    }
}

/// Returns the `:authority` of HTTP/2. An HTTP/1 request has the header `Host` instead.
fn authority(head: &Parts) -> Option<&str> {
    match head.version {
        Version::HTTP_2 => head.uri.authority().map(http::uri::Authority::as_str),
        _ => None,
    }
}
