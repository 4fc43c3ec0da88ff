//! Values of the application's own types, in a page: a chat that writes to the console.
//!
//! With the feature `browser-json` they travel by `BrowserJson`, with `json` alone by `Json`, with neither as plain
//! text. `cargo xtask size --codecs` builds all three, to tell what each codec adds to a page.

#[cfg(all(target_family = "wasm", target_os = "unknown"))]
mod page {
    use tidegate::Client;
    use wasm_bindgen::prelude::*;

    #[wasm_bindgen]
    extern "C" {
        #[wasm_bindgen(js_namespace = console)]
        fn log(text: &str);
    }

    /// A server on the address of the page.
    const ADDRESS: &str = "/live";

    #[cfg(not(any(feature = "json", feature = "browser-json")))]
    pub(super) async fn chat() -> Option<()> {
        let client = Client::builder(ADDRESS).connect().await.ok()?;
        client.send("hello").await.ok()?;
        while let Some(message) = client.recv().await {
            log(&message.into_text().unwrap_or_default());
        }
        Some(())
    }

    #[cfg(any(feature = "json", feature = "browser-json"))]
    pub(super) use self::typed::chat;

    #[cfg(any(feature = "json", feature = "browser-json"))]
    mod typed {
        use core::error::Error as _;

        use serde::{Deserialize, Serialize};
        #[cfg(feature = "browser-json")]
        use tidegate::BrowserJson as Chosen;
        #[cfg(not(feature = "browser-json"))]
        use tidegate::Json as Chosen;

        use super::{ADDRESS, Client, log};

        #[derive(Serialize)]
        #[serde(tag = "kind", rename_all = "lowercase")]
        enum Command {
            Join { room: String, since: Option<u64> },
            Say { text: String, urgent: bool },
            Move { x: f64, y: f64, buttons: Vec<u8> },
        }

        #[derive(Deserialize)]
        #[serde(tag = "kind", rename_all = "lowercase")]
        enum Event {
            Said { by: String, text: String, at: f64 },
            Moved { by: String, x: f64, y: f64 },
            Members { members: Vec<Member> },
        }

        #[derive(Deserialize)]
        struct Member {
            name: String,
            id: u32,
            #[serde(default)]
            admin: bool,
        }

        pub(in super::super) async fn chat() -> Option<()> {
            let client = Client::builder(ADDRESS).connect().await.ok()?;
            let chat = client.typed::<Command, Event, Chosen>();
            chat.send(&Command::Join { room: "lobby".into(), since: None }).await.ok()?;
            chat.send(&Command::Say { text: "hello".into(), urgent: false }).await.ok()?;
            chat.send(&Command::Move { x: 0.5, y: 1.5, buttons: vec![1] }).await.ok()?;
            while let Some(event) = chat.recv().await {
                match event {
                    Ok(Event::Said { by, text, at }) if at >= 0.0 => {
                        log(&by);
                        log(&text);
                    }
                    Ok(Event::Moved { by, x, y }) if x <= y => log(&by),
                    Ok(Event::Members { members }) => {
                        for member in members.iter().filter(|member| member.admin || member.id == 0) {
                            log(&member.name);
                        }
                    }
                    Ok(_) => {}
                    Err(error) => log(&error.source().map(ToString::to_string).unwrap_or_default()),
                }
            }
            Some(())
        }
    }
}

#[cfg(all(target_family = "wasm", target_os = "unknown"))]
fn main() {
    wasm_bindgen_futures::spawn_local(async {
        // There is nobody to tell that it could not connect.
        let _ = page::chat().await;
    });
}

#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
fn main() {
    println!("a page: build it for wasm32-unknown-unknown");
}
