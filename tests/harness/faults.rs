//! The fault switches of a story's local cloud.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use super::World;

/// Makes calls of the local cloud fail; no more when dropped.
pub struct Faults {
    authority: String,
    secret: String,
}

impl Faults {
    /// The local cloud must be running.
    pub fn of(world: &World) -> Self {
        let status = world.muck(&["local", "status", "--json"]).exits(0).json();
        let text = |key: &str| status[key].as_str().expect("a string").to_owned();
        Self {
            authority: text("endpoint").trim_start_matches("http://").to_owned(),
            secret: text("secret_access_key"),
        }
    }

    /// Replaces all rules. Each is an object as `localcloud::faults::Rule` reads it.
    pub fn set(&self, rules: &serde_json::Value) {
        let body = rules.to_string();
        let request = format!(
            "POST /_muck/faults HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.authority,
            self.secret,
            body.len()
        );
        let mut stream = TcpStream::connect(&self.authority).expect("the local cloud runs");
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answered");
        assert!(answer.starts_with("HTTP/1.1 200"), "{rules}: {answer}");
    }
}

impl Drop for Faults {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.set(&serde_json::json!([]));
        }
    }
}
