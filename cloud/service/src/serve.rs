//! From a configuration to a running server, and back.

use std::future::{Future, pending};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::engines::compose;
use crate::local::{Local, LocalOptions};
use crate::state::{AppConfig, AppState};
use crate::{Echo, ServeConfig, ServiceError, app};

/// How long answers and connections may take to end once they were told to.
const GRACE: Duration = Duration::from_secs(2);

/// How long a connection may wait for its client to take what was sent.
#[cfg(target_os = "linux")]
const STUCK: Duration = Duration::from_secs(60);

/// How often measurements are folded into their buckets.
const UPKEEP: Duration = Duration::from_secs(5);

/// Serves until Ctrl-C or SIGTERM. The first signal lets answers in progress finish, within
/// [`ServeConfig::drain`]; a second one ends them.
///
/// The port is open while models load, so that `/healthz` and the page answer early; `on_ready`
/// is called with the address once every model is loaded that is to be from the start.
///
/// # Errors
/// [`ServiceError`] if the port, the page, a model or the device is not to be had.
pub async fn serve(
    config: ServeConfig,
    on_ready: impl FnOnce(SocketAddr),
) -> Result<(), ServiceError> {
    run(config, on_ready, signal(), signal()).await
}

/// Serves until `shutdown` completes; else like [`serve`].
///
/// # Errors
/// As [`serve`].
pub async fn serve_until(
    config: ServeConfig,
    on_ready: impl FnOnce(SocketAddr),
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServiceError> {
    run(config, on_ready, shutdown, pending()).await
}

async fn run(
    config: ServeConfig,
    on_ready: impl FnOnce(SocketAddr),
    shutdown: impl Future<Output = ()>,
    force: impl Future<Output = ()>,
) -> Result<(), ServiceError> {
    let address = config.address;
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| ServiceError::Bind { address, source })?;
    let address = listener.local_addr()?;
    let options = LocalOptions {
        device: config.device,
        cache_bytes: config.cache_bytes,
        memory_bytes: config.memory_bytes,
        idle: config.idle,
        queue: config.limits.requests,
    };
    let mut local = Local::start(&config.models, options)?;
    let mut engines = local.engines();
    if let Some(options) = &config.echo {
        engines.push(Arc::new(Echo::new(options.clone())));
    }
    let engines = compose(engines, &config.upstreams, &config.cascades, &config.votes)?;
    let state = AppState::new(engines, AppConfig::from(&config))?;
    let server = Server::start(listener, state);
    tracing::info!(%address, "listening");

    tokio::pin!(shutdown);
    let loaded = tokio::select! {
        biased;
        // Polled first: whoever is told that it serves may end it at once, and is heard.
        () = &mut shutdown => None,
        loaded = local.loaded() => Some(loaded),
    };
    match loaded {
        Some(Ok(())) => {
            on_ready(address);
            shutdown.await;
            tracing::info!("shutting down: answers in progress may finish");
            server.drain(config.drain, force).await;
        }
        Some(Err(error)) => {
            server.stop().await;
            return Err(error);
        }
        None => {}
    }
    server.stop().await;
    let _ = timeout(GRACE, local.join()).await;
    Ok(())
}

/// The tasks that serve.
struct Server {
    state: AppState,
    stop: CancellationToken,
    connections: JoinHandle<()>,
    upkeep: JoinHandle<()>,
}

impl Server {
    fn start(listener: TcpListener, state: AppState) -> Self {
        let stop = CancellationToken::new();
        // Without it the system holds small chunks back to send them together.
        let listener = listener.tap_io(|stream| {
            let _ = stream.set_nodelay(true);
            // A connection whose client takes nothing any more must not stay for ever.
            #[cfg(target_os = "linux")]
            let _ = socket2::SockRef::from(&*stream).set_tcp_user_timeout(Some(STUCK));
        });
        let serving = axum::serve(listener, app(state.clone()))
            .with_graceful_shutdown(stop.clone().cancelled_owned());
        let connections = tokio::spawn(async move {
            if let Err(error) = serving.await {
                tracing::error!(%error, "the listener failed");
            }
        });
        let upkeep = tokio::spawn({
            let state = state.clone();
            async move {
                let mut ticks = tokio::time::interval(UPKEEP);
                loop {
                    ticks.tick().await;
                    state.inner.metrics.upkeep();
                }
            }
        });
        Self {
            state,
            stop,
            connections,
            upkeep,
        }
    }

    /// Refuses new work and waits for answers in progress; after `deadline`, or when `force`
    /// completes, ends them. The port stays open meanwhile, so that a balancer can see in
    /// `/readyz` that this server goes away.
    async fn drain(&self, deadline: Duration, force: impl Future<Output = ()>) {
        self.state.drain();
        tokio::select! {
            () = self.state.drained() => return,
            () = tokio::time::sleep(deadline) => {}
            () = force => {}
        }
        tracing::warn!("ending the answers that are still in progress");
        self.state.cancel();
        let _ = timeout(GRACE, self.state.drained()).await;
    }

    /// Closes the port and the connections.
    async fn stop(self) {
        let Self {
            state,
            stop,
            mut connections,
            upkeep,
        } = self;
        state.cancel();
        stop.cancel();
        upkeep.abort();
        if timeout(GRACE, &mut connections).await.is_err() {
            connections.abort();
        }
    }
}

/// Completes at the next Ctrl-C or SIGTERM.
async fn signal() {
    let interrupt = async {
        if tokio::signal::ctrl_c().await.is_err() {
            pending::<()>().await;
        }
    };
    #[cfg(unix)]
    let terminate = async {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => {
                terminate.recv().await;
            }
            Err(_) => pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminate = pending::<()>();
    tokio::select! {
        () = interrupt => {}
        () = terminate => {}
    }
}
