//! The fault switches and the journal of a story's local cloud.

use std::cell::Cell;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use localcloud::iam::Demand;
use serde::Deserialize;
use serde_json::{Value, json};

use super::World;
use super::machine::Keys;

/// Makes calls of the local cloud fail; no more when dropped.
pub struct Faults {
    authority: String,
    secret: String,
    /// Number of the last call that was seen.
    seen: Cell<u64>,
}

/// Temporary credentials of the account.
pub struct Session {
    pub keys: Keys,
    /// RFC 3339.
    pub expires: String,
}

/// A call as the local cloud's journal tells it.
#[derive(Debug, Clone, Deserialize)]
pub struct Call {
    pub seq: u64,
    /// When it arrived.
    pub time: jiff::Timestamp,
    /// Microseconds until it was answered.
    pub took_us: Option<u64>,
    pub service: String,
    pub action: String,
    /// `root`, `role/<role>/<instance>` or `user/<name>`.
    pub principal: String,
    /// The application id of the caller.
    pub client: String,
    /// `running`, `held-before`, `held-after`, `done` or `abandoned`.
    pub progress: String,
    /// HTTP status of the answer.
    pub status: Option<u16>,
    pub fault: Option<String>,
    /// The permissions that it needed.
    pub demands: Vec<Demand>,
}

impl Faults {
    /// The local cloud must be running.
    pub fn of(world: &World) -> Self {
        let status = world.muck(&["local", "status", "--json"]).exits(0).json();
        let text = |key: &str| status[key].as_str().expect("a string").to_owned();
        Self {
            authority: text("endpoint").trim_start_matches("http://").to_owned(),
            secret: text("secret_access_key"),
            seen: Cell::new(0),
        }
    }

    /// Replaces all rules. Each is an object as `localcloud::faults::Rule` reads it.
    pub fn set(&self, rules: &Value) {
        self.ask("POST", "/_muck/faults", &rules.to_string());
    }

    /// How many calls the rules have touched.
    pub fn hits(&self) -> u64 {
        let states = self.ask("GET", "/_muck/faults", "");
        let rules = states.as_array().expect("rules");
        rules.iter().filter_map(|rule| rule["hits"].as_u64()).sum()
    }

    /// Has EC2 tell a Spot instance now that it is taken back in so many seconds.
    pub fn interrupt_spot(&self, instance: &str, seconds: u32) {
        let body = serde_json::json!({"instance_id": instance, "seconds": seconds});
        self.ask("POST", "/_muck/spot-interruptions", &body.to_string());
    }

    /// The calls of `client` after number `seq`.
    pub fn calls(&self, client: &str, seq: u64) -> Vec<Call> {
        let mut all = self.all_calls(seq);
        all.retain(|call| call.client == client);
        all
    }

    /// Everybody's calls after number `seq`.
    pub fn all_calls(&self, seq: u64) -> Vec<Call> {
        serde_json::from_value(self.ask("GET", &format!("/_muck/calls?after={seq}"), ""))
            .expect("calls")
    }

    /// Makes a user who may do what `policy` says, or gives it that policy; returns its access key id and
    /// secret.
    pub fn user(&self, name: &str, policy: &Value) -> Keys {
        let user = json!({"name": name, "policy": policy}).to_string();
        let key = self.ask("POST", "/_muck/users", &user);
        let text = |field: &str| key[field].as_str().expect("a string").to_owned();
        Keys {
            id: text("access_key_id"),
            secret: text("secret_access_key"),
            token: None,
        }
    }

    /// Makes the account's network another: an object as `localcloud::ec2::NetworkSettings` reads it.
    pub fn network(&self, settings: &Value) {
        self.ask("POST", "/_muck/network", &settings.to_string());
    }

    /// Temporary credentials of the account, valid for so many seconds.
    pub fn session(&self, seconds: u32) -> Session {
        let body = json!({"seconds": seconds}).to_string();
        let session = self.ask("POST", "/_muck/sessions", &body);
        let text = |field: &str| session[field].as_str().expect("a string").to_owned();
        Session {
            keys: Keys {
                id: text("access_key_id"),
                secret: text("secret_access_key"),
                token: Some(text("session_token")),
            },
            expires: text("expires"),
        }
    }

    /// Number of the last call of anyone.
    pub fn last_call(&self) -> u64 {
        let calls = self.ask(
            "GET",
            &format!("/_muck/calls?after={}", self.seen.get()),
            "",
        );
        let last = calls
            .as_array()
            .and_then(|calls| calls.last()?["seq"].as_u64());
        self.seen.set(last.unwrap_or(self.seen.get()));
        self.seen.get()
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> Value {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.authority,
            self.secret,
            body.len()
        );
        let mut stream = TcpStream::connect(&self.authority).expect("the local cloud runs");
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answered");
        assert!(
            answer.starts_with("HTTP/1.1 200"),
            "{path} {body}: {answer}"
        );
        let (_, content) = answer.split_once("\r\n\r\n").expect("a body");
        serde_json::from_str(content).expect("JSON")
    }
}

impl Drop for Faults {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.set(&serde_json::json!([]));
        }
    }
}
