//! `GET /_muck/health`: what it says, and asking it.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::ServerInfo;

/// A server on loopback answers at once; one that takes longer is not well.
const PATIENCE: Duration = Duration::from_secs(5);

/// The answer of a server that is well.
pub(super) fn answer(info: &ServerInfo) -> Value {
    json!({
        "service": "muck local cloud",
        "version": env!("CARGO_PKG_VERSION"),
        "region": info.region,
        "account": info.account,
        "driver": info.driver,
        "driver_reason": info.driver_reason,
        "pid": info.pid,
        "started": info.started,
    })
}

/// Whether the server that wrote `info` answers, and not another one that has got its port.
pub(super) async fn answers(info: &ServerInfo) -> bool {
    match tokio::time::timeout(PATIENCE, ask(info)).await {
        Ok(Ok(said)) => {
            said.get("pid") == Some(&json!(info.pid))
                && said.get("started") == Some(&json!(info.started))
        }
        _ => false,
    }
}

async fn ask(info: &ServerInfo) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
    let authority = info
        .endpoint
        .strip_prefix("http://")
        .unwrap_or(&info.endpoint);
    let stream = TcpStream::connect(authority).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driving = tokio::spawn(connection);
    let request = Request::get("/_muck/health")
        .header("host", authority)
        .body(Empty::<Bytes>::new())?;
    let body = sender.send_request(request).await?.collect().await?;
    driving.abort();
    Ok(serde_json::from_slice(&body.to_bytes())?)
}
