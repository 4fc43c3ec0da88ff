//! A loop that runs once a frame: what egui calls `App::update`, and Bevy a system.
//!
//! Nothing in a frame waits: `try_recv` takes what has arrived, `try_send_with` queues what can go.

use futures_channel::oneshot;
use js_sys::Promise;
use tidegate::{Client, ConnectError, SendOptions, TryRecvError};
use wasm_bindgen_futures::{JsFuture, spawn_local};

/// A ball whose place goes to the server with every frame, and the place that came back last.
struct Game {
    opening: oneshot::Receiver<Result<Client, ConnectError>>,
    client: Option<Client>,
    status: String,
    here: f64,
    there: f64,
    came_back: u32,
}

impl Game {
    fn new(url: &'static str) -> Self {
        let (opened, opening) = oneshot::channel();
        spawn_local(async move {
            // Nobody takes it if the game is over; then it closes.
            let _ = opened.send(Client::builder(url).connect().await);
        });
        let status = "connecting".to_owned();
        Self { opening, client: None, status, here: 0.0, there: 0.0, came_back: 0 }
    }

    /// One frame, at a time in milliseconds.
    fn update(&mut self, now: f64) {
        self.here = 50.0 + 50.0 * (now / 500.0).sin();
        match self.opening.try_recv() {
            Ok(Some(Ok(client))) => self.client = Some(client),
            Ok(Some(Err(error))) => self.status = error.to_string(),
            Ok(None) | Err(oneshot::Canceled) => {}
        }
        let Some(client) = &self.client else { return };
        loop {
            match client.try_recv() {
                Ok(message) => {
                    self.there = message.as_text().and_then(|text| text.parse().ok()).unwrap_or(self.there);
                    self.came_back += 1;
                    self.status = format!("{} places came back", self.came_back);
                }
                Err(TryRecvError::Empty) => break,
                Err(_) => {
                    self.status = "closed".into();
                    self.client = None;
                    return;
                }
            }
        }
        // Of the places that wait only the newest goes. What is refused is told by the next `try_recv`.
        let _ = client.try_send_with(self.here.to_string(), SendOptions::urgent().latest("place"));
    }

    fn draw(&self) {
        let Some(document) = web_sys::window().and_then(|window| window.document()) else { return };
        for (id, place) in [("here", self.here), ("there", self.there)] {
            if let Some(ball) = document.get_element_by_id(id) {
                // Only a name that is no name is refused.
                let _ = ball.set_attribute("style", &format!("left: {place:.2}%"));
            }
        }
        if let Some(status) = document.get_element_by_id("status") {
            status.set_text_content(Some(&self.status));
        }
    }
}

/// The time of the next frame, in milliseconds.
async fn frame() -> Option<f64> {
    let window = web_sys::window()?;
    let next = Promise::new(&mut |resolve, _| {
        let _ = window.request_animation_frame(&resolve);
    });
    JsFuture::from(next).await.ok()?.as_f64()
}

fn main() {
    let mut game = Game::new("/echo");
    spawn_local(async move {
        while let Some(now) = frame().await {
            game.update(now);
            game.draw();
        }
    });
}
