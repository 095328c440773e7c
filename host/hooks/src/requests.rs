//! The HTTP requests of hooks: only servers that are granted get any.

use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks, default_send_request};

use crate::effects::{Effects, PlannedEffect};
use crate::limits::HookLog;
use gatling_grants::Grants;

/// How long to read the body of a request that is not sent.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(500);

/// The requests of one call of a hook.
pub(crate) struct Requests {
    pub(crate) grants: Grants,
    pub(crate) log: HookLog,
    pub(crate) effects: Effects,
}

/// The result of sending a request: the response, and the work that continues until its body is read.
type SendResult = Result<(http::Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>), Error>;

impl WasiHttpHooks for Requests {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = SendResult> + Send> {
        let uri = request.uri();
        let scheme = uri.scheme_str().unwrap_or("https");
        let host = uri.host().unwrap_or_default();
        let port = match (uri.port(), uri.port_u16()) {
            (Some(_), None) => return Box::new(async { Err(Error::HttpRequestUriInvalid) }),
            (_, port) => port.unwrap_or(if scheme == "http" { 80 } else { 443 }),
        };
        // The path of a URL can be a secret, as for webhooks, and so can the user name before the host.
        let named_port = uri.port().map(|port| format!(":{port}")).unwrap_or_default();
        let summary = format!("{} {scheme}://{host}{named_port}", request.method());
        let log = self.log.clone();
        if let Err(message) = self.grants.may_request(host, port) {
            let refused = log.note(&summary).and_then(|()| log.denied("http", &message));
            let error = refused.map_or_else(|hit| hit.to_string(), |()| message);
            return Box::new(async move {
                drain(request.into_body()).await;
                Err(Error::InternalError(Some(error)))
            });
        }
        if self.effects.plan(|| PlannedEffect::Request(format!("{} {uri}", request.method()))) {
            return Box::new(async move {
                drain(request.into_body()).await;
                let body = Empty::new().map_err(Error::from).boxed_unsync();
                let rest: Box<dyn Future<Output = Result<(), Error>> + Send> = Box::new(async { Ok(()) });
                Ok((http::Response::new(body), rest))
            });
        }
        // Logged before it is sent: it can arrive even if the hook or the connection fails.
        if let Err(hit) = log.used("http", &format!("sends {summary}")) {
            return Box::new(async move { Err(Error::InternalError(Some(hit.to_string()))) });
        }
        Box::new(async move {
            let sent = Box::pin(default_send_request(request, options)).await;
            let outcome = match &sent {
                Ok((response, _)) => response.status().to_string(),
                Err(error) => error.to_string(),
            };
            log.note(&format!("{summary}: {outcome}")).map_err(|hit| Error::InternalError(Some(hit.to_string())))?;
            let (response, rest) = sent?;
            let rest: Box<dyn Future<Output = Result<(), Error>> + Send> = Box::new(rest);
            Ok((response.map(BodyExt::boxed_unsync), rest))
        })
    }
}

/// Reads a body and drops it: the HTTP libraries of some languages fail if nothing reads the request.
async fn drain(mut body: WasiBody) {
    let read_all = async { while let Some(Ok(_)) = body.frame().await {} };
    // A hook may wait for the response before it has sent the whole body.
    _ = tokio::time::timeout(DRAIN_TIMEOUT, read_all).await;
}
