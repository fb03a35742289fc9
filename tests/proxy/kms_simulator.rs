//! The KMS simulator, driven by clients of AWS KMS.

mod simulator_boto3;
mod simulator_certificates;
mod simulator_cli;
mod simulator_clients;
mod simulator_faults;
mod simulator_iam;
mod simulator_sdk;
