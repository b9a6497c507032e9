//! The connection to the kernel: follows multicast messages, answers look-ups, asks for neighbours to be resolved.
//!
//! Two sockets: one that only listens (its buffer can overrun, whereupon everything is read anew) and one that asks.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt};
use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::LinkMessage;
use rtnetlink::{Handle, MulticastGroup, sys::AsyncSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::neighbour::{self, Neighbour};
use super::route::{self, RouteAnswer, RouteQuery, Unreachable};
use super::view::{Touched, View};

/// Everything that can change where a tunnel's packets go.
const GROUPS: [MulticastGroup; 8] = [
    MulticastGroup::Link,
    MulticastGroup::Neigh,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Route,
    MulticastGroup::Ipv4Rule,
    MulticastGroup::Ipv6Rule,
];

/// How long a route look-up is trusted without a message about it: learned path MTUs change without one.
const ROUTE_TRUST: Duration = Duration::from_secs(10);

/// Pause before a lost connection to the kernel is opened again.
const REOPEN_PAUSE: Duration = Duration::from_millis(500);

/// Settings of the connection.
#[derive(Clone, Copy, Debug)]
pub struct NetworkOptions {
    /// Buffer for messages that have not been read yet. Units: bytes.
    pub receive_buffer_bytes: usize,
    /// How long changes are gathered before they are reported as one.
    pub settle: Duration,
}

impl Default for NetworkOptions {
    fn default() -> Self {
        Self { receive_buffer_bytes: 4 << 20, settle: Duration::from_millis(10) }
    }
}

/// Why the kernel's network tables could not be followed.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// No connection.
    #[error("open a netlink connection to the kernel")]
    Open(#[source] std::io::Error),
    /// A table could not be read.
    #[error("read {table} from the kernel")]
    Read {
        /// Which one.
        table: &'static str,
        /// The cause.
        source: rtnetlink::Error,
    },
    /// The kernel refused to resolve a neighbour.
    #[error("resolve {address} on interface index {oif}")]
    Resolve {
        /// Whom.
        address: IpAddr,
        /// Where.
        oif: u32,
        /// The cause.
        source: rtnetlink::Error,
    },
}

/// The kernel's network tables, followed for as long as this lives.
///
/// Belongs to the network namespace of the thread that opened it, and needs a tokio runtime.
#[derive(Debug)]
pub struct Network {
    shared: Arc<Shared>,
    settle: Duration,
    /// Ends the tasks when dropped.
    _tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    requests: Mutex<Handle>,
    view: Mutex<View>,
    routes: Mutex<RouteCache>,
    generation: watch::Sender<u64>,
    overruns: AtomicU64,
}

#[derive(Debug, Default)]
struct RouteCache {
    /// Counts how often it was emptied, so that an answer asked for before that is not kept.
    epoch: u64,
    answers: HashMap<RouteQuery, (Instant, Result<RouteAnswer, Unreachable>)>,
}

type Messages = futures_util::stream::BoxStream<'static, NetlinkMessage<RouteNetlinkMessage>>;

impl Network {
    /// Opens the connection and reads all tables.
    ///
    /// # Errors
    /// When the kernel refuses the connection or a table.
    pub async fn open(options: NetworkOptions) -> Result<Self, NetworkError> {
        let mut tasks = JoinSet::new();
        let (connection, handle, _unsolicited) = rtnetlink::new_connection().map_err(NetworkError::Open)?;
        let listening = listen(options.receive_buffer_bytes)?;
        let shared = Arc::new(Shared {
            requests: Mutex::new(handle),
            view: Mutex::default(),
            routes: Mutex::default(),
            generation: watch::Sender::new(0),
            overruns: AtomicU64::new(0),
        });
        tasks.spawn(keep_requests_open(Arc::clone(&shared), connection));
        shared.read_everything().await?;
        tasks.spawn(follow(Arc::clone(&shared), listening, options.receive_buffer_bytes));
        Ok(Self { shared, settle: options.settle, _tasks: tasks })
    }

    /// The tables as they are now.
    pub fn view(&self) -> View {
        self.shared.view().clone()
    }

    /// Reads something from the tables without copying them.
    pub fn with_view<T>(&self, read: impl FnOnce(&View) -> T) -> T {
        read(&self.shared.view())
    }

    /// The neighbour entry of an address on an interface.
    pub fn neighbour(&self, oif: u32, address: IpAddr) -> Option<Neighbour> {
        self.shared.view().neighbour(oif, address)
    }

    /// A listener for changes; each listener sees every change.
    pub fn changes(&self) -> Changes {
        Changes { generation: self.shared.generation.subscribe(), settle: self.settle, is_settling: false }
    }

    /// Asks the kernel for the route of a tunnel's packet.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn route_lookup(&self, query: RouteQuery) -> Result<RouteAnswer, Unreachable> {
        let epoch = {
            let cache = self.shared.routes();
            if let Some((when, answer)) = cache.answers.get(&query)
                && when.elapsed() < ROUTE_TRUST
            {
                return answer.clone();
            }
            cache.epoch
        };
        let answer = self.shared.ask_route(query).await;
        let mut cache = self.shared.routes();
        if cache.epoch == epoch && !matches!(answer, Err(Unreachable::LookupFailed(_))) {
            cache.answers.insert(query, (Instant::now(), answer.clone()));
        }
        answer
    }

    /// Makes the next look-ups of routes to an address ask the kernel again: the path MTU may be another one, of which no message
    /// tells. The kernel keeps it by the address, so it is that of every tunnel to it.
    pub fn forget_routes_to(&self, remote: IpAddr) {
        self.shared.routes().answers.retain(|query, _| query.remote != remote);
    }

    /// Asks the kernel to resolve an address, or to check its entry, as sending a packet to it would.
    ///
    /// Returns when the kernel has begun; the outcome arrives as a change.
    ///
    /// # Errors
    /// When the kernel refuses, for example because the interface is down.
    pub async fn resolve(&self, oif: u32, address: IpAddr) -> Result<(), NetworkError> {
        let message = RouteNetlinkMessage::NewNeighbour(neighbour::use_request(oif, address));
        let mut request = NetlinkMessage::from(message);
        request.header.flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE;
        let failed = |source| NetworkError::Resolve { address, oif, source };
        let mut answers = self.shared.requests().request(request).map_err(failed)?;
        while let Some(answer) = answers.next().await {
            if let NetlinkPayload::Error(error) = answer.payload
                && error.code.is_some()
            {
                return Err(failed(rtnetlink::Error::NetlinkError(error)));
            }
        }
        Ok(())
    }

    /// How often messages of the kernel were lost and everything was read anew.
    pub fn overruns(&self) -> u64 {
        self.shared.overruns.load(Ordering::Relaxed)
    }

    /// Reads all tables anew, as after an overrun.
    ///
    /// # Errors
    /// When a table cannot be read; the tables then stay as they were.
    pub async fn refresh(&self) -> Result<(), NetworkError> {
        self.shared.read_everything().await
    }
}

/// Waits for changes of the kernel's tables.
#[derive(Clone, Debug)]
pub struct Changes {
    generation: watch::Receiver<u64>,
    settle: Duration,
    /// A change was seen, and those that follow closely are being waited for.
    is_settling: bool,
}

impl Changes {
    /// Returns after a change, together with all that follow closely; never returns once the [`Network`] is gone.
    ///
    /// Cancel safe: a change that was seen by a call that was dropped ends the next call.
    pub async fn changed(&mut self) {
        if !self.is_settling && self.generation.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        self.is_settling = true;
        tokio::time::sleep(self.settle).await;
        self.generation.mark_unchanged();
        self.is_settling = false;
    }
}

impl Shared {
    fn view(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn routes(&self) -> MutexGuard<'_, RouteCache> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn requests(&self) -> Handle {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn ask_route(&self, query: RouteQuery) -> Result<RouteAnswer, Unreachable> {
        let mut answers = Box::pin(self.requests().route().get(query.request()).execute());
        match answers.try_next().await {
            Ok(Some(message)) => RouteAnswer::read(&message).ok_or(Unreachable::NoRoute),
            Ok(None) => Err(Unreachable::LookupFailed("the kernel did not answer".into())),
            Err(error) => Err(route::unreachable(&error)),
        }
    }

    async fn read_everything(&self) -> Result<(), NetworkError> {
        use RouteNetlinkMessage as M;
        let handle = self.requests();
        let failed = |table| move |source| NetworkError::Read { table, source };
        let mut view = View::default();
        let mut links = Box::pin(handle.link().get().execute());
        while let Some(link) = links.try_next().await.map_err(failed("links"))? {
            view.apply(&M::NewLink(unspecified(link)));
        }
        let mut addresses = Box::pin(handle.address().get().execute());
        while let Some(address) = addresses.try_next().await.map_err(failed("addresses"))? {
            view.apply(&M::NewAddress(address));
        }
        let mut neighbours = Box::pin(handle.neighbours().get().execute());
        while let Some(entry) = neighbours.try_next().await.map_err(failed("neighbours"))? {
            view.apply(&M::NewNeighbour(entry));
        }
        *self.view() = view;
        self.report(Touched::Routes);
        Ok(())
    }

    fn report(&self, touched: Touched) {
        if touched == Touched::Routes {
            let mut cache = self.routes();
            cache.epoch += 1;
            cache.answers.clear();
        }
        if touched != Touched::Nothing {
            self.generation.send_modify(|generation| *generation += 1);
        }
    }

    fn apply(&self, message: &NetlinkMessage<RouteNetlinkMessage>) -> Touched {
        match &message.payload {
            NetlinkPayload::InnerMessage(inner) => self.view().apply(inner),
            _ => Touched::Nothing,
        }
    }
}

/// A dump carries links of family "unspecified"; nothing else is asked for.
fn unspecified(mut link: LinkMessage) -> LinkMessage {
    link.header.interface_family = netlink_packet_route::AddressFamily::Unspec;
    link
}

/// Opens the listening socket.
fn listen(receive_buffer_bytes: usize) -> Result<Messages, NetworkError> {
    let (mut connection, _handle, messages) =
        rtnetlink::new_multicast_connection(&GROUPS).map_err(NetworkError::Open)?;
    let socket = connection.socket_mut().socket_mut();
    // Above the system's limit only with CAP_NET_ADMIN; without it the limit is what one gets.
    if rustix::net::sockopt::set_socket_recv_buffer_size_force(&*socket, receive_buffer_bytes).is_err() {
        let _limited = rustix::net::sockopt::set_socket_recv_buffer_size(&*socket, receive_buffer_bytes);
    }
    let messages = messages.map(|(message, _source)| message);
    // The connection delivers only while it is polled: both run as one stream, which ends with the connection.
    let driver = futures_util::stream::once(connection).filter_map(|()| async { None });
    Ok(futures_util::stream::select(driver, messages).boxed())
}

/// Applies messages as they come; reads everything anew after an overrun or a lost connection.
async fn follow(shared: Arc<Shared>, mut messages: Messages, receive_buffer_bytes: usize) {
    loop {
        while let Some(batch) = messages.as_mut().ready_chunks(256).next().await {
            let lost = batch.iter().any(|m| matches!(m.payload, NetlinkPayload::Overrun(_)));
            let touched = batch.iter().map(|m| shared.apply(m)).max().unwrap_or(Touched::Nothing);
            shared.report(touched);
            if lost {
                shared.overruns.fetch_add(1, Ordering::Relaxed);
                tracing::info!("messages of the kernel were lost, reading its network tables anew");
                read_until_done(&shared).await;
            }
        }
        messages = reopen(receive_buffer_bytes).await;
        read_until_done(&shared).await;
    }
}

async fn reopen(receive_buffer_bytes: usize) -> Messages {
    loop {
        tracing::warn!("the netlink connection to the kernel ended, opening it again");
        tokio::time::sleep(REOPEN_PAUSE).await;
        if let Ok(messages) = listen(receive_buffer_bytes) {
            return messages;
        }
    }
}

async fn read_until_done(shared: &Shared) {
    while let Err(error) = shared.read_everything().await {
        tracing::warn!(%error, "read the network tables");
        tokio::time::sleep(REOPEN_PAUSE).await;
    }
}

/// Drives the asking socket, and replaces it should it end.
async fn keep_requests_open(shared: Arc<Shared>, mut connection: impl Future<Output = ()> + Unpin + Send) {
    (&mut connection).await;
    loop {
        tokio::time::sleep(REOPEN_PAUSE).await;
        if let Ok((connection, handle, _unsolicited)) = rtnetlink::new_connection() {
            *shared.requests.lock().unwrap_or_else(PoisonError::into_inner) = handle;
            connection.await;
        }
    }
}
