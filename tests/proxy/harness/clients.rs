//! Clients and servers for the network protocols: HTTP/1.1, HTTP/2, signatures, request bodies, curl and botocore.

pub mod balancer;
pub mod frames;
pub mod h2;
pub mod http;
pub mod load;
pub mod response;
pub mod served;
pub mod sign;
pub mod tools;
pub mod wire;
