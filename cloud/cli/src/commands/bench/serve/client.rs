//! Requests to one chat server.

use std::io::Read;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use sprat_wire::{Completion, ErrorBody, ModelList};
use ureq::http::{HeaderValue, Response, Uri};
use ureq::{Agent, Body};

use super::answer::{Failure, Outcome, read_stream};

/// No server may hold up a measurement for longer than this with one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(600);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Of a list of models or of an error, in bytes; more is not read.
const TEXT_LIMIT: u64 = 1 << 20;

/// A server, and connections to it that are used again.
pub(crate) struct Client {
    agent: Agent,
    /// Without `/v1` and without a slash at its end.
    base: String,
    /// The API key, and the header that it is sent in.
    key: Option<(String, HeaderValue)>,
}

impl Client {
    /// A client of the server at `url`, with or without `/v1` at its end.
    ///
    /// # Errors
    /// If `url` is none of a server, or has credentials in it, which would be printed with the results.
    pub(crate) fn new(url: &str, key: Option<String>) -> Result<Self> {
        let base = url.trim_end_matches('/');
        let base = base
            .strip_suffix("/v1")
            .unwrap_or(base)
            .trim_end_matches('/');
        let uri = base.parse::<Uri>().ok();
        let is_http = |uri: &Uri| {
            let scheme = uri.scheme_str();
            scheme.is_some_and(|s| s == "http" || s == "https") && uri.host().is_some()
        };
        // A message with the address in it would print the credentials too.
        if base.contains(['@', '?', '#']) {
            bail!(
                "the server's address may have neither credentials nor a query; put a key into an \
                 environment variable and name that by --api-key-env"
            );
        }
        if !uri.as_ref().is_some_and(is_http) {
            bail!("{url:?} is no address of a server, such as http://127.0.0.1:8787");
        }
        let key = match key {
            Some(key) => {
                let mut header = HeaderValue::try_from(format!("Bearer {key}"))
                    .map_err(|_| anyhow!("the API key has characters that no header may have"))?;
                header.set_sensitive(true);
                Some((key, header))
            }
            None => None,
        };
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            // What a proxy adds or holds back is not the server's.
            .proxy(None)
            // A compressed stream comes in other pieces than the server's chunks.
            .accept_encoding("identity")
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_global(Some(REQUEST_TIMEOUT))
            // Every stream keeps its connection.
            .max_idle_connections(super::MAX_STREAMS)
            .max_idle_connections_per_host(super::MAX_STREAMS);
        Ok(Self {
            agent: config.build().into(),
            base: base.to_owned(),
            key,
        })
    }

    /// The server's address, which has no credentials.
    pub(crate) fn url(&self) -> &str {
        &self.base
    }

    /// Ids of the models that the server offers.
    ///
    /// # Errors
    /// If no chat server answers there.
    pub(crate) fn models(&self) -> Result<Vec<String>> {
        let request = self.agent.get(format!("{}/v1/models", self.base));
        let request = match &self.key {
            Some((_, bearer)) => request.header("authorization", bearer),
            None => request,
        };
        let response = request.call().map_err(|e| {
            anyhow!(
                "no server answers at {} ({}); start one with `sprat serve`, or give another address",
                self.base,
                Failure::from_ureq(e)
            )
        })?;
        if response.status() != 200 {
            let failure = self.failure(response);
            bail!("{} does not list its models: {failure}", self.base);
        }
        let text = text(response.into_body());
        let list: ModelList = serde_json::from_str(&text).with_context(|| {
            format!(
                "{} is no OpenAI-compatible server; start one with `sprat serve`",
                self.base
            )
        })?;
        Ok(list.data.into_iter().map(|model| model.id).collect())
    }

    /// Sends a request that was due at `start`, and reads its answer to the end.
    pub(super) fn ask(&self, body: &[u8], start: Instant) -> Outcome {
        let response = self.post(body)?;
        if response.status() != 200 {
            return Err(self.failure(response));
        }
        read_stream(response.into_body().into_reader(), start).map_err(|e| match e {
            Failure::InStream(said) => Failure::InStream(self.without_key(&said)),
            other => other,
        })
    }

    /// Sends a request for an answer that comes whole.
    pub(crate) fn complete(&self, body: &[u8]) -> Result<Completion, Failure> {
        let response = self.post(body)?;
        if response.status() != 200 {
            return Err(self.failure(response));
        }
        serde_json::from_str(&text(response.into_body())).map_err(|_| Failure::Malformed)
    }

    fn post(&self, body: &[u8]) -> Result<Response<Body>, Failure> {
        let request = self
            .agent
            .post(format!("{}/v1/chat/completions", self.base));
        let request = request.header("content-type", "application/json");
        let request = match &self.key {
            Some((_, bearer)) => request.header("authorization", bearer),
            None => request,
        };
        request.send(body).map_err(Failure::from_ureq)
    }

    fn failure(&self, response: Response<Body>) -> Failure {
        let status = response.status().as_u16();
        let text = text(response.into_body());
        let said = serde_json::from_str::<ErrorBody>(&text);
        let said = said.map_or_else(|_| String::new(), |body| body.error.message);
        let said = self.without_key(&said);
        match status {
            429 => Failure::Refused(said),
            _ => Failure::Status(status, said),
        }
    }

    /// Servers repeat a key that they do not know.
    fn without_key(&self, said: &str) -> String {
        match &self.key {
            Some((key, _)) if !key.is_empty() => said.replace(key.as_str(), "[key]"),
            _ => said.to_owned(),
        }
    }
}

/// The beginning of a body, as far as it can be read.
fn text(body: Body) -> String {
    let mut bytes = Vec::new();
    // What came before it broke is as good as there is.
    let _ = body.into_reader().take(TEXT_LIMIT).read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::thread;

    use super::*;

    /// The head of an answer whose body ends with its connection.
    const STREAM: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
                          connection: close\r\n\r\n";

    /// A server that answers one request with `pieces`, each sent on its own, and hangs up; the thread
    /// ends with the request's head.
    fn server(pieces: Vec<Vec<u8>>) -> (String, thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1/", listener.local_addr().unwrap());
        let thread = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let head = read_request(&mut stream);
            stream.set_nodelay(true).unwrap();
            for piece in pieces {
                stream.write_all(&piece).unwrap();
                thread::yield_now();
            }
            head
        });
        (url, thread)
    }

    /// Reads a request with its body, so that hanging up does not reset the connection.
    fn read_request(stream: &mut TcpStream) -> String {
        let mut text = String::new();
        let mut byte = [0];
        while !text.ends_with("\r\n\r\n") {
            stream.read_exact(&mut byte).unwrap();
            text.push(byte[0].into());
        }
        let text = text.to_lowercase();
        let length = text
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let length = length.map_or(0, |length| length.parse().unwrap());
        stream.read_exact(&mut vec![0; length]).unwrap();
        text
    }

    fn ask(pieces: Vec<Vec<u8>>) -> Outcome {
        let (url, thread) = server(pieces);
        let client = Client::new(&url, Some("secret".to_owned())).unwrap();
        let outcome = client.ask(b"{}", Instant::now());
        let head = thread.join().unwrap();
        assert!(head.starts_with("post /v1/chat/completions "), "{head}");
        assert!(head.contains("authorization: bearer secret"), "{head}");
        outcome
    }

    const EVENTS: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"gr\u{fc}n\"}}]}\r\n\r\n\
                          : still here\r\n\r\n\
                          data: {\"choices\":[{\"delta\":{\"content\":\"b\"}}]}\r\n\r\n\
                          data: {\"choices\":[],\"usage\":{\"completion_tokens\":5}}\r\n\r\n\
                          data: [DONE]\r\n\r\n";

    #[test]
    fn an_answer_in_broken_pieces_is_read() {
        let pieces = (STREAM.to_owned() + EVENTS).into_bytes();
        let answer = ask(pieces.chunks(3).map(<[u8]>::to_vec).collect()).unwrap();
        assert_eq!((answer.tokens, answer.gaps.len()), (5, 1));
        assert!(answer.first.is_some() && answer.first.unwrap() <= answer.total);
    }

    #[test]
    fn a_body_in_chunks_is_read() {
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        let mut pieces = vec![head.as_bytes().to_vec()];
        for piece in EVENTS.as_bytes().chunks(11) {
            let mut framed = format!("{:x}\r\n", piece.len()).into_bytes();
            framed.extend(piece);
            framed.extend(b"\r\n");
            pieces.push(framed);
        }
        pieces.push(b"0\r\n\r\n".to_vec());
        assert_eq!(ask(pieces).unwrap().tokens, 5);
    }

    #[test]
    fn a_connection_that_breaks_is_a_failure() {
        let whole = STREAM.to_owned() + EVENTS;
        let half = whole.as_bytes()[..whole.len() - 30].to_vec();
        assert_eq!(ask(vec![half]).unwrap_err(), Failure::CutOff);
        let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nff\r\ndata: {";
        let half = chunked.as_bytes().to_vec();
        assert_eq!(ask(vec![half]).unwrap_err(), Failure::CutOff);
        assert!(matches!(ask(vec![]).unwrap_err(), Failure::Connection(_)));
    }

    #[test]
    fn a_server_that_refuses_is_told_from_one_that_fails() {
        let answer = |status: &str, message: &str| {
            let body = format!("{{\"error\":{{\"message\":\"{message}\"}}}}");
            let length = body.len();
            let text = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}");
            vec![text.into_bytes()]
        };
        let refused = ask(answer("429 Too Many Requests", "full")).unwrap_err();
        assert_eq!(refused, Failure::Refused("full".to_owned()));
        let wrong = ask(answer("401 Unauthorized", "secret is no key")).unwrap_err();
        assert_eq!(wrong.to_string(), "HTTP 401: [key] is no key");
        let away = ask(answer("307 Temporary Redirect", "")).unwrap_err();
        assert_eq!(away.kind(), "HTTP 307");
    }

    #[test]
    fn models_are_listed_and_a_server_that_is_not_there_is_said_how_to_start() {
        let list = r#"{"object":"list","data":[{"id":"a"},{"id":"b"}]}"#;
        let (url, thread) = server(vec![(STREAM.to_owned() + list).into_bytes()]);
        assert_eq!(
            Client::new(&url, None).unwrap().models().unwrap(),
            ["a", "b"]
        );
        assert!(thread.join().unwrap().starts_with("get /v1/models "));
        let nobody = Client::new("http://127.0.0.1:1", None).unwrap();
        let error = nobody.models().unwrap_err();
        assert!(error.to_string().contains("sprat serve"), "{error}");
    }

    #[test]
    fn addresses_with_credentials_are_refused_without_repeating_them() {
        for url in [
            "http://me:secret@host",
            "https://host/?key=secret",
            "ftp://host",
            "host",
        ] {
            let error = Client::new(url, None).err().unwrap().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
        assert_eq!(
            Client::new("https://host/a/v1/", None).unwrap().url(),
            "https://host/a"
        );
    }
}
