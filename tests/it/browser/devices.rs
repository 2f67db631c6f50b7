//! What a browser can be made to be: a phone, without a network. By the protocol of Chromium's developer tools.

use serde_json::{Value, json};

use super::chrome::Browser;

impl Browser {
    /// Has the width and the touch screen of a phone from now on.
    pub(super) async fn be_a_phone(&self) {
        let screen = json!({"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": true});
        self.tell("Emulation.setDeviceMetricsOverride", screen)
            .await;
        let touch = json!({"enabled": true});
        self.tell("Emulation.setTouchEmulationEnabled", touch).await;
        // Before a frame is drawn the page tells its scripts that it is another size.
        let drawn = "return new Promise((resolve) => requestAnimationFrame(() => resolve(String(innerWidth))))";
        self.shows(drawn, "390").await;
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
