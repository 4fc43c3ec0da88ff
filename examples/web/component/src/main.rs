//! A chat as a component of Yew: it connects when it appears, and closes when it goes.

use futures_util::future::abortable;
use tidegate::{Client, Sender};
use web_sys::HtmlInputElement;
use yew::platform::spawn_local;
use yew::prelude::*;

#[derive(PartialEq, Properties)]
struct Props {
    url: AttrValue,
}

#[component]
fn Chat(props: &Props) -> Html {
    let (lines, status) = (use_state(Vec::<String>::new), use_state(|| "connecting".to_owned()));
    let (sender, field) = (use_state(|| None::<Sender>), use_node_ref());
    let (set_lines, set_status, set_sender) = (lines.setter(), status.setter(), sender.setter());
    use_effect_with(props.url.clone(), move |url| {
        let connecting = Client::builder(url.as_str()).connect();
        let (task, handle) = abortable(async move {
            let (tx, rx) = match connecting.await {
                Ok(client) => client.split(),
                Err(error) => return set_status.set(error.to_string()),
            };
            set_sender.set(Some(tx));
            set_status.set("open".to_owned());
            let mut received = Vec::new();
            while let Some(message) = rx.recv().await {
                received.extend(message.into_text());
                set_lines.set(received.clone());
            }
            set_status.set(format!("closed with {}", rx.closed().await.code));
        });
        spawn_local(async { task.await.unwrap_or_default() });
        // Aborted, it drops what it has of the connection, which closes with the last of its handles.
        move || handle.abort()
    });
    let onsubmit = Callback::from({
        let (field, status) = (field.clone(), status.setter());
        move |event: SubmitEvent| {
            event.prevent_default();
            let (Some(tx), Some(field)) = (&*sender, field.cast::<HtmlInputElement>()) else { return };
            match tx.try_send(field.value()) {
                Ok(_) => field.set_value(""),
                Err(error) => status.set(error.to_string()),
            }
        }
    });
    html! { <>
        <p role="status">{ &*status }</p>
        <form {onsubmit}><input ref={field} aria-label="Message" /><button>{ "Send" }</button></form>
        <ol>{ for lines.iter().map(|line| html! { <li>{ line }</li> }) }</ol>
    </> }
}

/// A page that shows the chat, and hides it again.
#[component]
fn Page() -> Html {
    let shown = use_state(|| true);
    let onclick = Callback::from({
        let shown = shown.clone();
        move |_| shown.set(!*shown)
    });
    html! { <>
        <button id="toggle" {onclick}>{ if *shown { "Leave" } else { "Come back" } }</button>
        if *shown { <Chat url="/echo" /> }
    </> }
}

fn main() {
    yew::Renderer::<Page>::new().render();
}
