//! What a browser can be made to be: a phone, without a network. By the protocol of Chromium's developer tools.

use serde_json::{Value, json};

use super::chrome::Browser;

impl Browser {
    /// Has the width and the touch screen of a phone from now on.
    pub(super) async fn be_a_phone(&self) {
        self.be_of_size(390, 844, json!({"deviceScaleFactor": 2, "mobile": true}))
            .await;
        let touch = json!({"enabled": true});
        self.tell("Emulation.setTouchEmulationEnabled", touch).await;
    }

    /// Has a screen of this size from now on; returns when the page is drawn on it.
    pub(super) async fn be_of_size(&self, width: u32, height: u32, mut more: Value) {
        (more["width"], more["height"]) = (json!(width), json!(height));
        self.tell("Emulation.setDeviceMetricsOverride", more).await;
        // Before a frame is drawn the page tells its scripts that it is another size.
        let drawn = "return new Promise((resolve) => requestAnimationFrame(() => resolve(String(innerWidth))))";
        self.shows(drawn, &width.to_string()).await;
    }

    /// Has no network, or has one again; says so to the page as it says it to people.
    pub(super) async fn be_offline(&self, offline: bool) {
        let conditions = json!({
            "offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1,
        });
        self.tell("Network.enable", json!({})).await;
        self.tell("Network.emulateNetworkConditions", conditions)
            .await;
    }

    /// A command of the browser's own protocol.
    pub(super) async fn tell(&self, command: &str, parameters: Value) {
        let body = json!({"cmd": command, "params": parameters});
        self.post("/goog/cdp/execute", body).await;
    }
}
