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
use http::{HeaderMap, Method, Request, Version};
use hyper::body::Body;
use prometheus::IntCounter;
use tower::{Layer, Service};

use super::body::{self, ReadError, ReadLimits};
use crate::clock::Deadline;
use crate::ekm::CallCount;
use crate::keystore::{KeyStore, VpcEndpointMode};
use crate::policy::Transport;
use crate::secret::SecretBytes;
use crate::server::live::{Live, Serving};
use crate::server::request::peer::Peer;
use crate::server::request::record::{Record, SignatureCheck};
use crate::server::response::{Response, ResponseFuture};
use crate::server::unverified::{Budget, ClientClass, HeldBytes};
use crate::sigv4::{self, Denied, PathForm, Scope, SignedRequest, Verifier};
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
    /// The properties of its connection, for the policy.
    pub transport: Transport,
}

/// Creates [`Authenticate`].
#[derive(Clone)]
pub(super) struct AuthenticateLayer {
    pub live: Live,
    pub budget: Budget,
    /// Counts the requests that are rejected because of their VPC endpoint.
    pub rejected_endpoints: IntCounter,
}

/// Authenticates the requests to the inner service.
#[derive(Clone)]
pub(super) struct Authenticate<S> {
    inner: S,
    layer: AuthenticateLayer,
}

impl<S> Layer<S> for AuthenticateLayer {
    type Service = Authenticate<S>;

    fn layer(&self, inner: S) -> Authenticate<S> {
        let layer = self.clone();
        Authenticate { inner, layer }
    }
}

impl<S, B> Service<Request<B>> for Authenticate<S>
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

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let mut inner = self.inner.clone();
        let layer = self.layer.clone();
        Box::pin(async move {
            let authenticated = layer.authenticate(request).await?;
            inner.call(authenticated).await
        })
    }
}

impl AuthenticateLayer {
    async fn authenticate<B>(&self, request: Request<B>) -> Result<Authenticated, Fault>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: std::error::Error + 'static,
    {
        let (head, body) = request.into_parts();
        let record = head.extensions.get::<Record>().cloned().unwrap_or_default();
        let deadline = *head.extensions.get::<Deadline>().ok_or_else(no_deadline)?;
        // The whole request uses this configuration.
        let serving = Arc::clone(&self.live.now());
        let mut held = self.hold(&head, serving.limits.max_body)?;
        let body_deadline = Deadline::after(serving.limits.body_timeout).min(deadline);
        let (store, operation, key_id) = match self.route(&serving, &head, &record) {
            Ok(route) => route,
            Err(fault) => {
                body::discard(body, &head.headers, body_deadline).await;
                return Err(fault);
            }
        };
        let limits = Self::read_limits(&serving, &head, body_deadline);
        let body = body::read(body, limits, &mut held).await;
        let body = body.map_err(|error| note_read_error(error, &record))?;
        let calls = {
            let mut facts = record.facts();
            facts.request_bytes = u64::try_from(body.expose().len()).ok();
            facts.calls.clone()
        };
        self.check_endpoint(&head, &store, &record)?;
        verify(&head, &store, body.expose(), (&record, deadline))?;
        let peer = head.extensions.get::<Peer>();
        if let Some(peer) = peer {
            peer.mark_verified();
        }
        let transport = peer.map(Peer::transport).unwrap_or_default();
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
            transport,
        })
    }

    /// Reserves the bytes of the request's head in the budget of unverified requests.
    fn hold(&self, head: &Parts, max_body: usize) -> Result<HeldBytes, Fault> {
        let peer = head.extensions.get::<Peer>();
        let class = peer.map_or(ClientClass::Known, Peer::client_class);
        let held = self.budget.hold(class, length_of(head), max_body);
        held.ok_or_else(body::overload)
    }

    /// Rejects a request from a VPC endpoint that the store does not allow, with the same response as for a wrong signature.
    fn check_endpoint(&self, head: &Parts, store: &KeyStore, record: &Record) -> Result<(), Fault> {
        let endpoints = &store.vpc_endpoints;
        let peer = head.extensions.get::<Peer>();
        let endpoint = peer.and_then(Peer::vpc_endpoint);
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

    /// Finds key store, operation and key id of the request, and records them.
    fn route(
        &self,
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

fn verify(
    head: &Parts,
    store: &KeyStore,
    body: &[u8],
    (record, deadline): (&Record, Deadline),
) -> Result<(), Fault> {
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
    let verified = verifier.verify(&request, now);
    record.facts().signature = SignatureCheck {
        took: started.elapsed(),
        skew: verified.is_ok().then(|| skew(&head.headers, now)).flatten(),
        denied: verified.as_ref().err().map(Denied::reason),
    };
    match verified {
        Ok(credential) => {
            store.credential_use.note(credential.id(), now);
            let mut facts = record.facts();
            facts.access_key_id = Some(credential.id().clone());
            facts.deadline = Some(deadline);
            Ok(())
        }
        Err(denied) => Err(Fault::because(
            FaultKind::AuthenticationFailed,
            denied.to_string(),
        )),
    }
}

/// Returns by how many seconds this host's clock is ahead of the client's. `X-Amz-Date` has whole seconds only.
fn skew(headers: &HeaderMap, now: SystemTime) -> Option<f64> {
    let signed = sigv4::signed_at(headers)?;
    Some(match now.duration_since(signed) {
        Ok(ahead) => ahead.as_secs_f64(),
        Err(behind) => -behind.duration().as_secs_f64(),
    })
}

/// Returns the `:authority` of HTTP/2. An HTTP/1 request has the header `Host` instead.
fn authority(head: &Parts) -> Option<&str> {
    match head.version {
        Version::HTTP_2 => head.uri.authority().map(http::uri::Authority::as_str),
        _ => None,
    }
}

fn no_deadline() -> Fault {
    Fault::because(FaultKind::Internal, "the deadline layer is missing")
}
