//! The record of a call, with the members that CloudTrail documents.

use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use super::entry::{TrailRecord, event_time};
use super::identity::user_identity;
use super::parameters::{request_parameters, response_elements};
use crate::simulator::callers::caller::KmsCall;
use crate::simulator::wire::exception::{Exception, ExceptionKind};

/// The version of the record format.
const VERSION: &str = "1.11";

/// A key that a call used.
#[derive(Clone, Debug)]
pub(in crate::simulator) struct UsedKey {
    pub(in crate::simulator) account: String,
    pub(in crate::simulator) arn: String,
    pub(in crate::simulator) store: String,
    pub(in crate::simulator) xks_key_id: String,
}

/// A finished call, for the CloudTrail of one account.
pub(in crate::simulator) struct FinishedCall<'a> {
    pub(in crate::simulator) call: &'a KmsCall,
    pub(in crate::simulator) operation: &'a str,
    /// The body of the request; null when it is not JSON.
    pub(in crate::simulator) request_body: &'a Value,
    pub(in crate::simulator) answer: &'a Result<Value, Exception>,
    pub(in crate::simulator) used_keys: &'a [UsedKey],
    /// The account that gets the record.
    pub(in crate::simulator) recipient: &'a str,
    pub(in crate::simulator) id: &'a str,
    /// The id that the records of all accounts share; none if only one account gets a record.
    pub(in crate::simulator) shared_id: Option<&'a str>,
    pub(in crate::simulator) source: String,
    pub(in crate::simulator) user_agent: Option<&'a str>,
    pub(in crate::simulator) invoked_by: Option<&'a str>,
}

impl FinishedCall<'_> {
    /// Returns the record.
    pub(in crate::simulator) fn record(&self) -> TrailRecord {
        let time = OffsetDateTime::now_utc();
        let caller = &self.call.caller;
        let service = self.invoked_by.filter(|_| caller.account == self.recipient);
        let mut record = json!({
            "eventVersion": VERSION,
            "userIdentity": user_identity(caller, self.recipient, service),
            "eventTime": event_time(time),
            "eventSource": "kms.amazonaws.com",
            "eventName": self.operation,
            "awsRegion": caller.region,
            "sourceIPAddress": self.invoked_by.unwrap_or(&self.source),
            "userAgent": self.invoked_by.or(self.user_agent).unwrap_or("AWS Internal"),
            "requestParameters": request_parameters(self.operation, self.request_body),
            "responseElements": response_elements(self.operation, self.answer.as_ref().ok()),
            "requestID": self.call.request_id,
            "eventID": self.id,
            "readOnly": is_read_only(self.operation),
            "eventType": "AwsApiCall",
            "managementEvent": true,
            "recipientAccountId": self.recipient,
            "eventCategory": "Management",
        });
        if let Some(members) = record.as_object_mut() {
            self.add_optional_members(members);
        }
        TrailRecord {
            account: self.recipient.to_owned(),
            region: caller.region.clone(),
            time,
            value: record,
        }
    }

    /// Adds the members that not every record has.
    fn add_optional_members(&self, record: &mut Map<String, Value>) {
        let mut put = |name: &str, value: Value| drop(record.insert(name.to_owned(), value));
        if let Err(error) = self.answer {
            put("errorCode", json!(error_code(error.kind)));
            put("errorMessage", json!(error.message));
        }
        if let Some(shared) = self.shared_id {
            put("sharedEventID", json!(shared));
        }
        let resources: Vec<_> = self.used_keys.iter().map(resource).collect();
        if !resources.is_empty() {
            put("resources", json!(resources));
        }
        if let Some(data) = self.additional_event_data() {
            put("additionalEventData", data);
        }
    }

    /// Returns the store and the external key. AWS does not document this for a ReEncrypt with two external keys, so it has none.
    fn additional_event_data(&self) -> Option<Value> {
        let is_about_one = matches!(self.used_keys, [_]);
        let key = self.used_keys.first().filter(|_| is_about_one)?;
        Some(json!({ "customKeyStoreId": key.store, "xksKeyId": key.xks_key_id }))
    }
}

fn resource(key: &UsedKey) -> Value {
    json!({ "accountId": key.account, "type": "AWS::KMS::Key", "ARN": key.arn })
}

/// Returns the name of an exception in CloudTrail.
fn error_code(kind: ExceptionKind) -> &'static str {
    match kind {
        ExceptionKind::AccessDenied => "AccessDenied",
        kind => kind.name(),
    }
}

/// Returns whether an operation changes nothing in KMS. Cryptographic operations change nothing.
fn is_read_only(operation: &str) -> bool {
    let reads = ["Describe", "List", "Get", "Generate"];
    matches!(operation, "Decrypt" | "Encrypt" | "ReEncrypt")
        || reads.iter().any(|prefix| operation.starts_with(prefix))
}

#[cfg(test)]
mod tests;
