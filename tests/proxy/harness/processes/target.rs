//! The options of the commands that use a proxy from outside.

use std::fs;

use tokio::net::TcpSocket;

use crate::commands::command_line::run;
use crate::harness::{Proxy, StoreName};

/// Returns the options of `probe` and `bench` for this store of this proxy.
pub fn options(proxy: &Proxy, store: &StoreName) -> Vec<String> {
    let directory = &proxy.setup.directory;
    let ca = directory.join("target-ca.pem");
    fs::write(&ca, proxy.setup.authority.pem()).unwrap();
    let secret = directory.join(store.access_key_id);
    [
        "--endpoint",
        &format!("https://{}", proxy.host()),
        "--path",
        &format!("{}/kms/xks/v1", store.prefix),
        "--region",
        store.region,
        "--access-key-id",
        store.access_key_id,
        "--secret-file",
        secret.to_str().unwrap(),
        "--ca",
        ca.to_str().unwrap(),
    ]
    .map(str::to_owned)
    .to_vec()
}

/// Runs a command with these options and more.
pub fn command(name: &str, options: &[String], more: &[&str]) -> (Option<i32>, String, String) {
    let mut arguments = vec![name];
    arguments.extend(options.iter().map(String::as_str));
    arguments.extend(more);
    run(&arguments)
}

/// Returns the options with a different value of one of them.
pub fn with(options: &[String], name: &str, value: &str) -> Vec<String> {
    let mut changed = options.to_vec();
    let at = changed.iter().position(|option| option == name).unwrap();
    value.clone_into(&mut changed[at + 1]);
    changed
}

/// A port of this machine that rejects connections. It stays reserved until this is dropped: the socket is bound and does not listen.
pub struct Nobody(TcpSocket);

impl Nobody {
    /// Reserves a port.
    pub fn bind() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        Self(socket)
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    /// The endpoint.
    pub fn endpoint(&self) -> String {
        format!("https://localhost:{}", self.port())
    }
}
