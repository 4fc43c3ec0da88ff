//! When messages arrive, as it is told over another connection.

use tungstenite::{Message, WebSocket, client};

use super::{assert_idle, connect, server};
use crate::server::Running;

fn open(server: &Running, target: &str) -> WebSocket<std::net::TcpStream> {
    client(format!("ws://{}{target}", server.address()), connect(server)).unwrap().0
}

fn ask(watcher: &mut WebSocket<std::net::TcpStream>, question: &str) -> serde_json::Value {
    watcher.send(Message::text(question)).unwrap();
    serde_json::from_str(watcher.read().unwrap().to_text().unwrap()).unwrap()
}

fn urgent(number: u32) -> Message {
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&number.to_le_bytes());
    Message::binary(bytes.to_vec())
}

#[test]
fn a_watcher_is_told_what_has_arrived_once_it_is_enough() {
    let server = server();
    let mut watcher = open(&server, "/watch?run=a");
    let mut other = open(&server, "/watch?run=b");
    let before = ask(&mut watcher, "now").as_f64().unwrap();
    let mut sender = open(&server, "/arrivals?run=a");
    sender.send(urgent(7)).unwrap();
    sender.send(Message::binary(vec![0; 100])).unwrap();
    sender.send(Message::text("x".repeat(32))).unwrap();
    sender.send(urgent(300)).unwrap();
    let seen = ask(&mut watcher, "wait 132 2");
    assert_eq!(seen["bulk"]["messages"], 2, "{seen}");
    assert_eq!(seen["bulk"]["bytes"], 132, "{seen}");
    let times = [&seen["urgent"][0][1], &seen["bulk"]["at"], &seen["urgent"][1][1]];
    let times = times.map(|time| time.as_f64().unwrap());
    assert!(before <= times[0] && times.is_sorted(), "{seen}");
    assert_eq!((&seen["urgent"][0][0], &seen["urgent"][1][0]), (&7.into(), &300.into()));
    assert!(ask(&mut watcher, "now").as_f64().unwrap() >= times[2]);
    // Another run has seen nothing of it.
    assert_eq!(ask(&mut other, "wait 0 0")["bulk"]["messages"], 0);
}

#[test]
fn a_sender_may_have_all_that_arrives_acknowledged() {
    let server = server();
    let mut sender = open(&server, "/arrivals?run=a&acknowledge=1");
    for (message, received) in
        [(urgent(1), "32"), (Message::text("\u{fc}"), "34"), (Message::binary(vec![0; 100]), "134")]
    {
        sender.send(message).unwrap();
        assert_eq!(sender.read().unwrap().to_text().unwrap(), received);
    }
}

#[test]
fn a_watcher_may_go_while_it_waits_and_its_run_is_forgotten() {
    let server = server();
    let mut sender = open(&server, "/arrivals?run=a");
    sender.send(urgent(1)).unwrap();
    let mut watcher = open(&server, "/watch?run=a");
    assert_eq!(ask(&mut watcher, "wait 0 1")["urgent"].as_array().unwrap().len(), 1);
    watcher.send(Message::text("wait 1 0")).unwrap();
    drop((watcher, sender));
    assert_idle(&server);
    let mut watcher = open(&server, "/watch?run=a");
    assert_eq!(ask(&mut watcher, "wait 0 0")["urgent"].as_array().unwrap().len(), 0);
    watcher.send(Message::text("what?")).unwrap();
    assert!(watcher.read().unwrap().to_text().unwrap().contains("what"));
}

#[test]
fn what_is_pushed_is_counted_when_it_has_gone_out_and_waits_for_its_reader() {
    let server = server();
    let mut watcher = open(&server, "/watch?run=a");
    let mut reader = open(&server, "/push?run=a&messages=1000&bytes=65536");
    // More than any buffer on the way holds does not go out while nobody reads.
    let seen = ask(&mut watcher, "wait 65536 0");
    assert!(seen["bulk"]["messages"].as_u64().unwrap() < 1000, "{seen}");
    for number in 0..1000_u32 {
        let message = reader.read().unwrap().into_data();
        assert_eq!((message.len(), message[0]), (65_536, number.to_le_bytes()[0]));
    }
    let seen = ask(&mut watcher, "wait 65536000 0");
    assert_eq!(seen["bulk"]["messages"], 1000, "{seen}");
    reader.close(None).unwrap();
    while reader.read().is_ok() {}
}
