//! The process that is measured: a server that sends back what comes.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use rustix::time::{ClockId, clock_gettime};
use tidegate::proto::ws::HeadLimits;
use tidegate::server::{AcceptOptions, accept, keep_unsent_short, read_request};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use crate::{ALLOCATOR, Load, Mode, Row};

/// Measures one mode, with the clients in a process of their own.
pub(crate) fn measure(mode: Mode, load: Load) -> Result<Row, String> {
    let runtime = Builder::new_current_thread().enable_all().build().map_err(text)?;
    let (listener, address) = runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(text)?;
        let address = listener.local_addr().map_err(text)?;
        Ok::<_, String>((listener, address.to_string()))
    })?;
    runtime.spawn(serve(listener));
    let mut clients = Clients::start(&address, mode, load)?;
    // What the runtime and a first connection need once.
    clients.follow(&runtime, "warm")?;
    let before = ALLOCATOR.current_usage();
    clients.follow(&runtime, "idle")?;
    let held = ALLOCATOR.current_usage().saturating_sub(before);
    clients.follow(&runtime, "ready")?;
    let before = cpu_seconds();
    let messages: f64 = clients.follow(&runtime, "done")?.parse().map_err(text)?;
    let busy = cpu_seconds() - before;
    clients.end()?;
    Ok(Row {
        mode,
        bytes_per_idle_session: u64::try_from(held).unwrap_or(u64::MAX) / u64::from(load.idle.max(1)),
        messages_per_second: messages / load.time().as_secs_f64(),
        microseconds_per_message: busy * 1e6 / messages.max(1.0),
    })
}

/// The CPU time of this thread, which is the server's.
fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    #[allow(clippy::cast_precision_loss, reason = "of a process that runs for less than a year")]
    let seconds = time.tv_sec as f64 + time.tv_nsec as f64 / 1e9;
    seconds
}

async fn serve(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            if let Some(client) = open(stream).await {
                while let Some(message) = client.recv().await {
                    if client.send(message).await.is_err() {
                        break;
                    }
                }
            }
        });
    }
}

async fn open(mut stream: TcpStream) -> Option<tidegate::Client> {
    keep_unsent_short(&stream).ok()?;
    let request = read_request(&mut stream, HeadLimits::default()).await.ok()?;
    let subprotocol = request.choose(&["tidegate.v1"]);
    accept(stream, &request, subprotocol, AcceptOptions::default()).ok()
}

/// The other process. It says a word when it has got somewhere, and goes on when it gets a line.
struct Clients {
    child: Child,
    to: ChildStdin,
    /// Lent to whoever reads.
    from: Option<BufReader<ChildStdout>>,
}

impl Clients {
    fn start(address: &str, mode: Mode, load: Load) -> Result<Self, String> {
        let mut command = Command::new(std::env::current_exe().map_err(text)?);
        command.args(["--server", address, "--only", mode.name()]);
        for (name, value) in [("--idle", load.idle), ("--active", load.active), ("--seconds", load.seconds)] {
            command.args([name, &value.to_string()]);
        }
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.map_err(|error| format!("starting the clients: {error}"))?;
        let (Some(to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("the clients have no pipes".into());
        };
        Ok(Self { child, to, from: Some(BufReader::new(from)) })
    }

    /// Lets them go on, and serves them until they say this. Gives what stands behind it.
    fn follow(&mut self, runtime: &Runtime, word: &str) -> Result<String, String> {
        self.to.write_all(b"\n").map_err(text)?;
        let mut from = self.from.take().ok_or("the clients have ended")?;
        let (tell, told) = oneshot::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            let read = from.read_line(&mut line).map(|_| line);
            // Nobody waits for it if the server has failed.
            let _ = tell.send((read, from));
        });
        let (line, from) = runtime.block_on(told).map_err(text)?;
        self.from = Some(from);
        let line = line.map_err(text)?;
        let rest = line.strip_prefix(word).ok_or_else(|| format!("the clients say {line:?}, not {word}"))?;
        Ok(rest.trim().to_owned())
    }

    fn end(mut self) -> Result<(), String> {
        drop(self.to);
        let status = self.child.wait().map_err(text)?;
        if status.success() { Ok(()) } else { Err(format!("the clients ended with {status}")) }
    }
}

#[allow(clippy::needless_pass_by_value, reason = "for `map_err`")]
pub(crate) fn text(error: impl ToString) -> String {
    error.to_string()
}
