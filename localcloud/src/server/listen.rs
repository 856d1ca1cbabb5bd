//! Listening and serving connections, on 127.0.0.1 only.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::ServerError;
use crate::gateway::Gateway;

/// The wanted port, else the last one if it is free, else any.
pub(super) async fn bind(
    wanted: Option<u16>,
    last: Option<u16>,
) -> Result<TcpListener, ServerError> {
    if let Some(port) = wanted {
        return TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .await
            .map_err(|source| ServerError::Port { port, source });
    }
    if let Some(port) = last
        && let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await
    {
        return Ok(listener);
    }
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .map_err(|source| ServerError::Port { port: 0, source })
}

/// Serves connections until `stopped` becomes true, then lets calls under way end for `grace`.
pub(super) async fn accept(
    listener: TcpListener,
    gateway: Arc<Gateway>,
    mut stopped: watch::Receiver<bool>,
    grace: Duration,
) {
    let mut connections = JoinSet::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of file descriptors, say: later there may be some.
                    tracing::warn!(%error, "can't accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            () = told(&mut stopped) => break,
        };
        // Answers are whole messages; waiting to fill packets only delays them.
        let _ = stream.set_nodelay(true);
        let gateway = Arc::clone(&gateway);
        let mut stopped = stopped.clone();
        connections.spawn(async move {
            let service = service_fn(move |request| Arc::clone(&gateway).answer(request));
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service);
            let mut connection = std::pin::pin!(connection);
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = told(&mut stopped) => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                // A caller that went away, or a fault on purpose.
                tracing::debug!(%error, "connection ended");
            }
        });
    }
    drop(listener);
    let all_ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(grace, all_ended).await.is_err() {
        connections.shutdown().await;
    }
}

/// Waits until the server is told to stop (or nobody is left who could tell it).
async fn told(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stop| *stop).await;
}
