//! HTTP requests of hooks: to servers that are granted, and none to any other.

use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks, default_send_request};

use crate::effects::{Effects, PlannedEffect};
use crate::limits::HookLog;
use gatling_grants::Grants;

/// How long a request that goes nowhere waits for the rest of its body.
const PATIENCE: Duration = Duration::from_millis(500);

/// The requests of one call of a hook.
pub(crate) struct Requests {
    pub(crate) grants: Grants,
    pub(crate) log: HookLog,
    pub(crate) effects: Effects,
}

/// How sending a request ends: with a response, and what goes on until its body is read.
type Sent = Result<(http::Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>), Error>;

impl WasiHttpHooks for Requests {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        let uri = request.uri();
        let scheme = uri.scheme_str().unwrap_or("https");
        let host = uri.host().unwrap_or_default();
        let port = match (uri.port(), uri.port_u16()) {
            (Some(_), None) => return Box::new(async { Err(Error::HttpRequestUriInvalid) }),
            (_, port) => port.unwrap_or(if scheme == "http" { 80 } else { 443 }),
        };
        // The path of a URL can be a secret, as those of web hooks are; so can what stands before the host.
        let named_port = uri.port().map(|port| format!(":{port}")).unwrap_or_default();
        let shown = format!("{} {scheme}://{host}{named_port}", request.method());
        let log = self.log.clone();
        if let Err(message) = self.grants.may_ask(host, port) {
            let refused = log.note(&shown).and_then(|()| log.denied("http", &message));
            let error = refused.map_or_else(|hit| hit.to_string(), |()| message);
            return Box::new(async move {
                take(request.into_body()).await;
                Err(Error::InternalError(Some(error)))
            });
        }
        if self.effects.list(|| PlannedEffect::Request(format!("{} {uri}", request.method()))) {
            return Box::new(async move {
                take(request.into_body()).await;
                let body = Empty::new().map_err(Error::from).boxed_unsync();
                let rest: Box<dyn Future<Output = Result<(), Error>> + Send> = Box::new(async { Ok(()) });
                Ok((http::Response::new(body), rest))
            });
        }
        // Whatever becomes of it, and of the hook: it may have arrived.
        if let Err(hit) = log.used("http", &format!("sends {shown}")) {
            return Box::new(async move { Err(Error::InternalError(Some(hit.to_string()))) });
        }
        Box::new(async move {
            let sent = Box::pin(default_send_request(request, options)).await;
            let outcome = match &sent {
                Ok((response, _)) => response.status().to_string(),
                Err(error) => error.to_string(),
            };
            log.note(&format!("{shown}: {outcome}")).map_err(|hit| Error::InternalError(Some(hit.to_string())))?;
            let (response, rest) = sent?;
            let rest: Box<dyn Future<Output = Result<(), Error>> + Send> = Box::new(rest);
            Ok((response.map(BodyExt::boxed_unsync), rest))
        })
    }
}

/// Takes what a hook sends, for nobody: languages' own libraries break where nobody does.
async fn take(mut body: WasiBody) {
    let taken = async { while let Some(Ok(_)) = body.frame().await {} };
    // A hook that waits for the answer before it has sent everything gets it all the same.
    _ = tokio::time::timeout(PATIENCE, taken).await;
}
