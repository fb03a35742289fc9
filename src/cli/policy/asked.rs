//! The request that a policy decides about: from a file or from the audit log.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::SystemTime;

use serde_json::{Value, json};

use crate::cli::audit;
use crate::cli::output::exit::CommandError;
use crate::cli::output::terminal::safe;
use crate::config::Outline;
use crate::connections::ClientCertificate;
use crate::policy::{Action, Transport};
use crate::proxy_protocol::VpcEndpointId;
use crate::read_file;
use crate::xks::{KeyMetadataRequest, RequestMetadata};

/// A request, and its outcome if that is known.
pub(super) struct Asked {
    pub store: String,
    pub key: String,
    pub action: Action,
    pub metadata: RequestMetadata,
    /// The result of client authentication on the connection.
    pub client_certificate: ClientCertificate,
    /// The network path of the request.
    pub transport: Transport,
    /// The time of the request.
    pub now: SystemTime,
    /// The audit log line of the request.
    pub recorded: Option<Value>,
}

/// Reads a request from a file. Its time is the current time.
pub(super) fn of_request(
    store: &str,
    key: &str,
    action: Action,
    client_certificate: ClientCertificate,
    file: &Path,
) -> Result<Asked, CommandError> {
    let text = read(file);
    let text = text
        .map_err(|error| CommandError::usage(format!("cannot read {}: {error}", file.display())))?;
    let value: Value = serde_json::from_str(&text)
        .map_err(|error| CommandError::usage(format!("the request is not JSON: {error}")))?;
    Ok(Asked {
        store: store.to_owned(),
        key: key.to_owned(),
        action,
        metadata: metadata(value.get("requestMetadata").unwrap_or(&value))?,
        client_certificate,
        transport: transport(&value)?,
        now: SystemTime::now(),
        recorded: None,
    })
}

/// Returns the request from its newest audit log line.
pub(super) fn from_audit_log(outline: &Outline, id: &str) -> Result<Asked, CommandError> {
    let mut found = audit::requests(audit::settings(outline)?, id)?;
    let line = found.pop();
    let line = line.ok_or_else(|| {
        CommandError::usage(format!("no audit log line is about the request {id:?}"))
    })?;
    let text = |name: &str| line.get(name).and_then(Value::as_str);
    let lacks = |what: &str| {
        CommandError::usage(format!(
            "the line of this request has no {what}: the proxy rejected the request before the policy decision"
        ))
    };
    let action = match text("operation") {
        Some("encrypt") => Action::Encrypt,
        Some("decrypt") => Action::Decrypt,
        Some("metadata") => Action::GetKeyMetadata,
        Some(other) => {
            return Err(CommandError::usage(format!(
                "policies do not apply to {other}"
            )));
        }
        None => return Err(lacks("operation")),
    };
    let time = text("time").and_then(|time| humantime::parse_rfc3339(time).ok());
    Ok(Asked {
        store: text("key_store")
            .ok_or_else(|| lacks("key store"))?
            .to_owned(),
        key: text("key_id").ok_or_else(|| lacks("key"))?.to_owned(),
        action,
        metadata: metadata(line.get("request_metadata").unwrap_or(&Value::Null))?,
        client_certificate: recorded_certificate(&line)?,
        transport: transport(&line)?,
        now: time.ok_or_else(|| lacks("time"))?,
        recorded: Some(line),
    })
}

impl Asked {
    /// Returns the time, operation, key and principal of the request as text.
    pub(super) fn in_words(&self) -> String {
        let Self {
            store,
            key,
            action,
            metadata,
            ..
        } = self;
        let line = |name: &str| self.recorded.as_ref().and_then(|line| line.get(name));
        let seq = line("seq").map(ToString::to_string).unwrap_or_default();
        let time = line("time").and_then(Value::as_str).unwrap_or_default();
        let action = action.as_str();
        let principal = metadata.aws_principal_arn.as_deref().unwrap_or("nobody");
        let via = metadata.kms_via_service.as_deref();
        let via = via
            .map(|service| format!(" via {service}"))
            .unwrap_or_default();
        safe(&format!(
            "{time}, line {seq}: {action} with {store}/{key} by {principal}{via}"
        ))
    }

    /// Returns the recorded decision, if it is known.
    pub(super) fn then(&self) -> Option<String> {
        let line = self.recorded.as_ref()?;
        let text = |name: &str| line.get(name).and_then(Value::as_str);
        let parts = [text("outcome"), text("error_name"), text("reason")];
        let mut then = parts.into_iter().flatten().collect::<Vec<_>>().join(", ");
        let policies = line.get("policies").and_then(Value::as_array);
        let policies: Vec<&str> = policies
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        if !policies.is_empty() {
            then.push_str(&format!(" (rules: {})", policies.join(", ")));
        }
        Some(safe(&then))
    }
}

/// Returns the client certificate result in the line. Lines of older versions have a subject if, and only if, a certificate was verified.
fn recorded_certificate(line: &Value) -> Result<ClientCertificate, CommandError> {
    let text = |name: &str| line.get(name).and_then(Value::as_str);
    let unknown =
        || CommandError::usage("the line has a client_certificate that this version does not know");
    match (text("client_certificate"), text("client_subject")) {
        (Some(name), _) => ClientCertificate::from_name(name).ok_or_else(unknown),
        (None, Some(_)) => Ok(ClientCertificate::Verified),
        (None, None) => Ok(ClientCertificate::Off),
    }
}

fn metadata(value: &Value) -> Result<RequestMetadata, CommandError> {
    let body = json!({ "requestMetadata": value }).to_string();
    let parsed = KeyMetadataRequest::parse(body.as_bytes());
    let request = parsed.map_err(|fault| CommandError::usage(fault.kind.message()))?;
    Ok(request.metadata)
}

/// Returns the data of the PROXY header, under the names of the audit log; a request in a file may have them, too.
fn transport(value: &Value) -> Result<Transport, CommandError> {
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    let wrong = |name: &str| CommandError::usage(format!("{name} is malformed"));
    let endpoint = |id: &str| {
        let id = VpcEndpointId::parse(id.as_bytes());
        id.ok_or_else(|| wrong("vpc_endpoint"))
    };
    let client = |text: &str| {
        let client: Option<SocketAddr> = text.parse().ok();
        client
            .map(|client| client.ip())
            .ok_or_else(|| wrong("client"))
    };
    Ok(Transport {
        vpc_endpoint: text("vpc_endpoint").map(endpoint).transpose()?,
        client: text("client").map(client).transpose()?,
    })
}

fn read(file: &Path) -> io::Result<String> {
    let file = match file.as_os_str() == "-" {
        true => Path::new("/dev/stdin"),
        false => file,
    };
    let contents = read_file::any(file)?;
    let text = std::str::from_utf8(&contents.bytes).map_err(io::Error::other)?;
    Ok(text.to_owned())
}
