//! The innermost service: parses the body and calls the operation.

use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use tower::Service;

use super::authenticate::Authenticated;
use crate::operations::{self, Answer, Call};
use crate::policy::{Action, Decision};
use crate::server::request::record::Record;
use crate::server::response::{Response, ResponseFuture, success};
use crate::xks::{
    DecryptRequest, EncryptRequest, ExternalKeyId, Fault, FaultKind, HealthRequest,
    KeyMetadataRequest, Operation, RequestMetadata,
};

/// Serves verified requests.
#[derive(Clone, Copy)]
pub(super) struct Dispatch;

impl Service<Authenticated> for Dispatch {
    type Response = Response;
    type Error = Fault;
    type Future = ResponseFuture<Fault>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Authenticated) -> Self::Future {
        Box::pin(async move {
            match request.operation {
                Operation::Health => health(&request),
                Operation::Metadata => key_metadata(&request).await,
                Operation::Encrypt => encrypt(&request).await,
                Operation::Decrypt => decrypt(&request).await,
            }
        })
    }
}

fn health(request: &Authenticated) -> Result<Response, Fault> {
    let parsed = request.parsed(HealthRequest::parse)?;
    note(&request.record, parsed.metadata);
    let outcome = operations::health(&request.store, request.serving.fleet_size);
    Ok(success(request.recorded(outcome, OnceLock::new())?.body()))
}

async fn key_metadata(request: &Authenticated) -> Result<Response, Fault> {
    let parsed = request.parsed(KeyMetadataRequest::parse)?;
    let metadata = note(&request.record, parsed.metadata);
    let decision = OnceLock::new();
    let call = request.call(&metadata, Action::GetKeyMetadata, &decision)?;
    let outcome = operations::key_metadata(call).await;
    Ok(success(request.recorded(outcome, decision)?.body()))
}

async fn encrypt(request: &Authenticated) -> Result<Response, Fault> {
    let mut parsed = request.parsed(EncryptRequest::parse)?;
    let metadata = note(&request.record, std::mem::take(&mut parsed.metadata));
    let decision = OnceLock::new();
    let call = request.call(&metadata, Action::Encrypt, &decision)?;
    let outcome = operations::encrypt(call, parsed).await;
    Ok(success(request.recorded(outcome, decision)?.body()))
}

async fn decrypt(request: &Authenticated) -> Result<Response, Fault> {
    let mut parsed = request.parsed(DecryptRequest::parse)?;
    let metadata = note(&request.record, std::mem::take(&mut parsed.metadata));
    let decision = OnceLock::new();
    let call = request.call(&metadata, Action::Decrypt, &decision)?;
    let outcome = operations::decrypt(call, parsed).await;
    Ok(success(request.recorded(outcome, decision)?.body()))
}

impl Authenticated {
    /// Parses the body. If that fails, the request's metadata is still recorded, as far as it can be read.
    fn parsed<T>(&self, parse: fn(&[u8]) -> Result<T, Fault>) -> Result<T, Fault> {
        parse(self.body.expose()).inspect_err(|_| self.note_metadata())
    }

    /// Records the metadata of a request that is rejected before its body is parsed.
    pub(super) fn note_metadata(&self) {
        // A health request consists of the metadata only, and requires the fewest fields.
        if let Ok(parsed) = HealthRequest::parse(self.body.expose()) {
            note(&self.record, parsed.metadata);
        }
    }

    fn call<'a>(
        &'a self,
        metadata: &'a RequestMetadata,
        action: Action,
        decision: &'a OnceLock<Decision>,
    ) -> Result<Call<'a>, Fault> {
        let key_id: &ExternalKeyId = self
            .key_id
            .as_ref()
            .ok_or_else(|| Fault::because(FaultKind::Internal, "the route has no key id"))?;
        Ok(Call {
            store: &self.store,
            key_id,
            deadline: self.deadline,
            metadata,
            client_certificate: self.peer.certificate,
            transport: self.peer.transport(),
            action,
            policy: self.serving.authorization.as_deref(),
            decision,
            calls: &self.calls,
        })
    }

    /// Records policy decision and cost, also those of an operation that failed. Returns the operation's result.
    fn recorded<T>(
        &self,
        outcome: Result<Answer<T>, Fault>,
        decision: OnceLock<Decision>,
    ) -> Result<T, Fault> {
        let mut facts = self.record.facts();
        facts.decision = decision.into_inner();
        let answer = outcome?;
        facts.cost = answer.cost;
        Ok(answer.value)
    }
}

/// Records the metadata for the log, even if the operation fails later.
fn note(record: &Record, metadata: RequestMetadata) -> Arc<RequestMetadata> {
    let metadata = Arc::new(metadata);
    record.facts().metadata = Some(Arc::clone(&metadata));
    metadata
}
