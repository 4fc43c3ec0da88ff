//! What a socket keeps of what has not been sent.

use std::io;

use tokio::net::TcpStream;

/// How much [`keep_unsent_short`] lets the kernel hold that has not been sent, in bytes: what a link of 10 Mbit/s sends
/// in 13 ms, and some segments of Ethernet.
pub const UNSENT_BYTES: u32 = 16 << 10;

/// Has the kernel hold no more than [`UNSENT_BYTES`] that it has not sent, and send at once what it has.
///
/// By itself Linux takes megabytes from a process and sends them later, and whatever is urgent waits behind that for as
/// long as the link needs for it. With this it waits in the send queue, where it can be overtaken. What is under way and
/// not acknowledged is not counted, so that no link is filled less.
///
/// `TCP_NODELAY` is set on every system and for every peer; `TCP_NOTSENT_LOWAT` on Linux and Android, elsewhere the
/// system's own bound stays. It is not set where the peer is on this machine, as a proxy may be: segments of loopback have
/// 64 KiB, and a sender that never has a whole one waiting was seen to use 0.1 of a slow link behind the proxy. To be
/// called before the connection is accepted, at the latest before much was sent.
///
/// In plain mode an urgent message waits for a sixth of the time (`docs/SERVER.md` has the figures). In tidegate mode
/// the session's budget keeps the kernel's queue short by itself, and there is no difference.
///
/// Feature `socket`.
///
/// # Errors
///
/// The system's; what was set stays set.
pub fn keep_unsent_short(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    if stream.peer_addr()?.ip().to_canonical().is_loopback() { Ok(()) } else { bound_unsent(stream) }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn bound_unsent(stream: &TcpStream) -> io::Result<()> {
    socket2::SockRef::from(stream).set_tcp_notsent_lowat(UNSENT_BYTES)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn bound_unsent(_: &TcpStream) -> io::Result<()> {
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use socket2::SockRef;
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn only_for_a_peer_elsewhere_less_may_wait_in_the_kernel() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let before = SockRef::from(&stream).tcp_notsent_lowat().unwrap();
            keep_unsent_short(&stream).unwrap();
            assert!(stream.nodelay().unwrap());
            assert_eq!(SockRef::from(&stream).tcp_notsent_lowat().unwrap(), before);
            // Nobody is elsewhere in a test.
            bound_unsent(&stream).unwrap();
            assert_eq!(SockRef::from(&stream).tcp_notsent_lowat().unwrap(), UNSENT_BYTES);
        });
    }
}
