//! The page, and the headers for browsers.

use crate::common::*;
use axum::Router;
use axum::body::Body;
use axum::http::{Request, header};
use serde_json::json;
use sprat_service::{ApiKey, AppConfig, AppState, ServiceError};
use tempfile::TempDir;

fn page(config: AppConfig) -> (TempDir, Router) {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    put("index.html", "<!doctype html>");
    put("app.js", "export {}");
    put("app.js.br", "packed");
    put("sprat.wasm", "\0asm");
    put("weights.safetensors", "0123456789");
    let config = AppConfig {
        web: Some(folder.path().to_path_buf()),
        ..config
    };
    let app = app_with(vec![Parrot::default().share()], config);
    (folder, app)
}

#[tokio::test]
async fn files_have_their_types_and_are_asked_for_again() {
    let (_folder, app) = page(AppConfig::default());
    let types = [
        ("/", "text/html"),
        ("/index.html", "text/html"),
        ("/app.js?v=1", "text/javascript"),
        ("/sprat.wasm", "application/wasm"),
        ("/weights.safetensors", "application/octet-stream"),
    ];
    for (path, kind) in types {
        let reply = get(&app, path).await;
        assert_eq!(reply.status, 200, "{path}");
        assert_eq!(reply.header("content-type"), Some(kind), "{path}");
        assert_eq!(reply.header("cache-control"), Some("no-cache"), "{path}");
        assert!(reply.headers.contains_key("last-modified"));
        assert!(
            reply.headers.contains_key("content-length"),
            "the progress bar needs it"
        );
    }
    let date = get(&app, "/app.js")
        .await
        .header("last-modified")
        .unwrap()
        .to_owned();
    let request = Request::get("/app.js").header(header::IF_MODIFIED_SINCE, date);
    assert_eq!(
        send(&app, request.body(Body::empty()).unwrap())
            .await
            .status,
        304
    );
    let request = Request::get("/weights.safetensors").header(header::RANGE, "bytes=4-");
    let rest = send(&app, request.body(Body::empty()).unwrap()).await;
    assert_eq!((rest.status.as_u16(), rest.text()), (206, "456789"));
    let request = Request::get("/app.js").header(header::ACCEPT_ENCODING, "br, gzip");
    let packed = send(&app, request.body(Body::empty()).unwrap()).await;
    assert_eq!(
        (packed.text(), packed.header("content-encoding")),
        ("packed", Some("br"))
    );
    assert_eq!(packed.header("content-type"), Some("text/javascript"));
}

#[tokio::test]
async fn nothing_outside_the_folder_is_served() {
    let (folder, app) = page(AppConfig::default());
    let name = folder.path().file_name().unwrap().to_str().unwrap();
    for path in [
        "/none.js",
        "/../Cargo.toml",
        "/%2e%2e/x",
        &format!("/..%2f{name}/app.js"),
        "//etc/passwd",
    ] {
        let reply = get(&app, path).await;
        assert_eq!(reply.status, 404, "{path}: {}", reply.text());
    }
    // The API's own part of the address space is never the page's.
    get(&app, "/v1/none")
        .await
        .is_error(404, "invalid_request_error", None, None);
}

#[tokio::test]
async fn every_response_is_named_and_guarded() {
    let config = AppConfig {
        connect_origins: vec!["https://cloud.example".into()],
        ..AppConfig::default()
    };
    let (_folder, app) = page(config);
    for path in ["/", "/none", "/healthz", "/v1/models", "/v1/none"] {
        let reply = get(&app, path).await;
        assert!(
            reply.header("x-request-id").unwrap().starts_with("req-"),
            "{path}"
        );
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(reply.header("referrer-policy"), Some("no-referrer"));
        // Together they isolate the page, so that its CPU can have threads.
        let isolated = [
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-embedder-policy", "require-corp"),
        ];
        for (name, value) in isolated {
            assert_eq!(reply.header(name), Some(value));
        }
        let policy = reply.header("content-security-policy").unwrap();
        let parts: Vec<&str> = policy.split("; ").collect();
        for part in [
            "default-src 'self'",
            "script-src 'self' 'wasm-unsafe-eval'",
            "worker-src 'self'",
            "connect-src 'self' https://cloud.example",
        ] {
            assert!(parts.contains(&part), "{part} not in {policy}");
        }
    }
    let named = |id: &'static str| {
        let app = app.clone();
        async move {
            let request = Request::get("/healthz").header("x-request-id", id);
            let reply = send(&app, request.body(Body::empty()).unwrap()).await;
            reply.header("x-request-id").unwrap().to_owned()
        }
    };
    assert_eq!(named("trace-1").await, "trace-1");
    assert_ne!(named("{weird}").await, "{weird}");
}

#[tokio::test]
async fn the_engines_worker_may_neither_connect_nor_load() {
    let (_folder, app) = page(AppConfig::default());
    for path in ["/sprat/worker.js", "/chat/sprat/worker.js?v=2"] {
        let reply = get(&app, path).await;
        let policy = reply.header("content-security-policy").unwrap();
        let parts: Vec<&str> = policy.split("; ").collect();
        for part in [
            "default-src 'none'",
            "script-src 'wasm-unsafe-eval'",
            "connect-src 'none'",
        ] {
            assert!(parts.contains(&part), "{path}: {policy}");
        }
    }
    let link = get(&app, "/sprat/link.js").await;
    let policy = link.header("content-security-policy").unwrap();
    assert!(policy.contains("connect-src 'self'"), "{policy}");
}

fn preflight(origin: &str) -> Request<Body> {
    Request::options("/v1/chat/completions")
        .header(header::ORIGIN, origin)
        .header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST")
        .header(
            header::ACCESS_CONTROL_REQUEST_HEADERS,
            "authorization,content-type",
        )
        .body(Body::empty())
        .unwrap()
}

#[tokio::test]
async fn other_origins_may_call_only_if_listed() {
    let allowed = "access-control-allow-origin";
    let app = app_of(Parrot::default());
    assert_eq!(
        send(&app, preflight("https://a.example"))
            .await
            .header(allowed),
        None
    );

    let config = AppConfig {
        cors_origins: vec!["https://a.example".into()],
        api_keys: vec![ApiKey::new("a", "k").unwrap()],
        ..AppConfig::default()
    };
    let app = app_with(vec![Parrot::default().share()], config);
    let reply = send(&app, preflight("https://a.example")).await;
    assert_eq!(reply.status, 200, "a preflight carries no key");
    assert_eq!(reply.header(allowed), Some("https://a.example"));
    assert_eq!(
        send(&app, preflight("https://b.example"))
            .await
            .header(allowed),
        None
    );
    let mut request = post(ask("x", json!({})).to_string());
    request
        .headers_mut()
        .insert(header::ORIGIN, "https://a.example".parse().unwrap());
    let reply = send(&app, request).await;
    reply.is_error(401, "invalid_request_error", None, Some("invalid_api_key"));
    assert_eq!(
        reply.header(allowed),
        Some("https://a.example"),
        "the page must see the error"
    );
    let exposed = reply.header("access-control-expose-headers").unwrap();
    assert!(exposed.contains("x-request-id") && exposed.contains("retry-after"));

    let config = AppConfig {
        cors_origins: vec!["*".into()],
        ..AppConfig::default()
    };
    let app = app_with(vec![Parrot::default().share()], config);
    assert_eq!(
        send(&app, preflight("https://b.example"))
            .await
            .header(allowed),
        Some("*")
    );
}

#[test]
fn a_wrong_configuration_is_refused_at_once() {
    let new = |config| AppState::new(vec![], config).map(drop);
    let empty = tempfile::tempdir().unwrap();
    let config = AppConfig {
        web: Some(empty.path().into()),
        ..AppConfig::default()
    };
    assert!(matches!(new(config), Err(ServiceError::NoPage { .. })));
    let config = AppConfig {
        cors_origins: vec!["a.example".into()],
        ..AppConfig::default()
    };
    assert!(matches!(new(config), Err(ServiceError::BadOrigin { .. })));
    let config = AppConfig {
        connect_origins: vec!["https://a/b".into()],
        ..AppConfig::default()
    };
    assert!(matches!(new(config), Err(ServiceError::BadOrigin { .. })));
    let config = AppConfig {
        api_keys: ["k", "k"]
            .map(|key| ApiKey::new(key, key).unwrap())
            .to_vec(),
        ..AppConfig::default()
    };
    assert!(matches!(
        new(config),
        Err(ServiceError::DuplicateKey { .. })
    ));
    assert!(matches!(ApiKey::new("a", ""), Err(ServiceError::BadApiKey)));
    let twice = [Parrot::default().share(), Parrot::default().share()];
    let engines = twice
        .map(|parrot| parrot as std::sync::Arc<dyn sprat_service::Engine>)
        .to_vec();
    let duplicate = AppState::new(engines, AppConfig::default()).map(drop);
    assert!(matches!(
        duplicate,
        Err(ServiceError::DuplicateModel { .. })
    ));
}
