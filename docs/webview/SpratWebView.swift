// A Sprat page in an iOS or macOS app. Put a page that calls connect() (README.md, "The page"), the package's folder and
// the model into the app's bundle as "sprat". dist/webview is the chat page, which has no bridge.
import Foundation
import WebKit

private let scheme = "sprat-app"
private let api = "https://api.example/v1/"

/// Serves the bundle's files: a page from file:// may not start a worker or fetch its model.
final class BundleFiles: NSObject, WKURLSchemeHandler {
    private let folder = Bundle.main.url(forResource: "sprat", withExtension: nil)!.standardizedFileURL
    // WebAssembly and module scripts are refused without their type.
    private let types = ["html": "text/html", "js": "text/javascript", "css": "text/css", "json": "application/json", "wasm": "application/wasm"]

    func webView(_ webView: WKWebView, start task: WKURLSchemeTask) {
        let url = task.request.url!
        let file = folder.appendingPathComponent(url.path).standardizedFileURL
        guard file.path.hasPrefix(folder.path + "/"), let data = try? Data(contentsOf: file) else {
            return task.didFailWithError(URLError(.fileDoesNotExist))
        }
        let headers = ["Content-Type": types[file.pathExtension] ?? "application/octet-stream", "Content-Length": "\(data.count)"]
        task.didReceive(HTTPURLResponse(url: url, statusCode: 200, httpVersion: "HTTP/1.1", headerFields: headers)!)
        task.didReceive(data)
        task.didFinish()
    }

    func webView(_ webView: WKWebView, stop task: WKURLSchemeTask) {}
}

@MainActor
final class SpratWebView: NSObject, WKScriptMessageHandler {
    let view: WKWebView
    private let token: () async -> String
    private let ask: ([String: Any]) async -> Bool
    private let hear: ([String: Any]) -> Void
    private var questions: [String: Task<Void, Never>] = [:]
    private var fetches: [String: Task<Void, Never>] = [:]
    private var acknowledged: [String: Int] = [:]

    /// `ask` shows the person an offer (`to`, `model`, `reason`, `messages`); when its task is cancelled it closes its dialog
    /// and gives false. `sprat.load` needs `hostFetch` and `hostAsk` for the app to be asked.
    init(token: @escaping () async -> String, ask: @escaping ([String: Any]) async -> Bool, hear: @escaping ([String: Any]) -> Void) {
        let configuration = WKWebViewConfiguration()
        configuration.setURLSchemeHandler(BundleFiles(), forURLScheme: scheme)
        view = WKWebView(frame: .zero, configuration: configuration)
        self.token = token
        self.ask = ask
        self.hear = hear
        super.init()
        configuration.userContentController.add(self, name: "sprat")
        view.load(URLRequest(url: URL(string: "\(scheme)://app/index.html")!))
    }

    /// The controller holds its handler: without this neither is ever freed.
    func close() {
        fetches.values.forEach { $0.cancel() }
        questions.values.forEach { $0.cancel() }
        view.configuration.userContentController.removeScriptMessageHandler(forName: "sprat")
    }

    /// Calls `sprat.load`, `sprat.chat` and so on; the answer and the events come to `hear`.
    func call(_ id: Int, _ method: String, _ params: [String: Any] = [:]) {
        send(["id": id, "method": method, "params": params])
    }

    /// From UIApplication.didReceiveMemoryWarningNotification.
    func memoryWarning() {
        notify("sprat.memoryWarning", ["level": "critical"])
    }

    func userContentController(_ controller: WKUserContentController, didReceive message: WKScriptMessage) {
        // Every frame has the handler; only our own page is to use it.
        guard message.frameInfo.isMainFrame, message.frameInfo.securityOrigin.protocol == scheme,
              let text = message.body as? String,
              let json = try? JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any] else { return }
        let params = json["params"] as? [String: Any] ?? [:]
        switch json["method"] as? String {
        case "host.fetch":
            guard let id = json["id"] as? String else { return }
            fetches[id] = Task { await fetch(id, params); fetches[id] = nil; acknowledged[id] = nil }
        case "host.fetch.ack":
            if let id = params["id"] as? String { acknowledged[id] = params["bytes"] as? Int }
        case "host.fetch.cancel":
            if let id = params["id"] as? String { fetches[id]?.cancel() }
        case "host.ask":
            guard let id = json["id"] as? String, let offer = params["offer"] as? [String: Any] else { return }
            questions[id] = Task {
                let yes = await ask(offer)
                questions[id] = nil
                // Whoever took the question back does not want its answer.
                if !Task.isCancelled { send(["id": id, "result": ["yes": yes]]) }
            }
        case "host.ask.cancel":
            if let id = params["id"] as? String { questions[id]?.cancel() }
        default:
            hear(json)
        }
    }

    private func notify(_ method: String, _ params: [String: Any]) {
        send(["method": method, "params": params])
    }

    private func send(_ message: [String: Any]) {
        let whole = message.merging(["jsonrpc": "2.0"]) { $1 }
        guard let data = try? JSONSerialization.data(withJSONObject: whole) else { return }
        // As an argument, not spliced into the script: no text can end the string it stands in.
        view.callAsyncJavaScript("spratReceive(text)", arguments: ["text": String(decoding: data, as: UTF8.self)], in: nil, in: .page)
    }

    private func fetch(_ id: String, _ params: [String: Any]) async {
        // The page says where to; the app decides whether its token may go there.
        guard let address = params["url"] as? String, address.hasPrefix(api), let url = URL(string: address) else {
            return send(["id": id, "error": ["code": -32050, "message": "not allowed"]])
        }
        var request = URLRequest(url: url)
        request.httpMethod = params["method"] as? String
        for (name, value) in params["headers"] as? [String: String] ?? [:] { request.setValue(value, forHTTPHeaderField: name) }
        request.setValue("Bearer \(await token())", forHTTPHeaderField: "Authorization")
        request.httpBody = (params["body"] as? String).map { Data($0.utf8) }
        do {
            let (bytes, response) = try await URLSession.shared.bytes(for: request)
            let http = response as! HTTPURLResponse
            let type = http.value(forHTTPHeaderField: "Content-Type") ?? ""
            send(["id": id, "result": ["status": http.statusCode, "headers": ["content-type": type]]])
            try await pump(bytes, id, window: params["window"] as? Int ?? 1 << 20)
        } catch {
            // No reason is told: an error may hold what was asked.
            if !Task.isCancelled { notify("host.fetch.error", ["id": id]) }
        }
    }

    private func pump(_ bytes: URLSession.AsyncBytes, _ id: String, window: Int) async throws {
        var (piece, seq, sent) = (Data(), 0, 0)
        func flush() async throws {
            while sent + piece.count - (acknowledged[id] ?? 0) > window { try await Task.sleep(nanoseconds: 10_000_000) }
            notify("host.fetch.chunk", ["id": id, "seq": seq, "data": piece.base64EncodedString(), "encoding": "base64"])
            (sent, seq, piece) = (sent + piece.count, seq + 1, Data())
        }
        for try await byte in bytes {
            piece.append(byte)
            // Events of a stream end with an empty line; a chunk for each byte would be a flood.
            if piece.suffix(2).elementsEqual([10, 10]) || piece.count >= 16 << 10 { try await flush() }
        }
        if !piece.isEmpty { try await flush() }
        notify("host.fetch.end", ["id": id, "seq": seq])
    }
}
