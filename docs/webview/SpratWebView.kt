// A Sprat page in an Android app. Put a page that calls connect() (README.md, "The page"), the package's folder and the
// model into src/main/assets/sprat; needs androidx.webkit. dist/webview is the chat page, which has no bridge.
package com.example.sprat

import android.content.Context
import android.net.Uri
import android.util.Base64
import android.webkit.WebResourceRequest
import android.webkit.WebView
import android.webkit.WebViewClient
import androidx.webkit.JavaScriptReplyProxy
import androidx.webkit.WebViewAssetLoader
import androidx.webkit.WebViewCompat
import java.net.HttpURLConnection
import java.net.URL
import java.util.concurrent.ConcurrentHashMap
import java.util.concurrent.Executors
import java.util.concurrent.locks.ReentrantLock
import kotlin.concurrent.withLock
import org.json.JSONObject

// The asset loader's own origin: https, so the page is a secure context and may store the model.
private const val ORIGIN = "https://appassets.androidplatform.net"
private const val API = "https://api.example/v1/"

/**
 * `ask` shows the person an offer (`to`, `model`, `reason`, `messages`) in a dialog that answers once, and gives what closes it.
 * `sprat.load` needs `hostFetch` and `hostAsk` for the app to be asked.
 */
class SpratWebView(
    context: Context,
    private val token: () -> String,
    private val ask: (offer: JSONObject, answer: (Boolean) -> Unit) -> (() -> Unit),
    private val hear: (JSONObject) -> Unit,
) {
    val view = WebView(context)
    private var page: JavaScriptReplyProxy? = null
    private val network = Executors.newCachedThreadPool()
    private val fetches = ConcurrentHashMap<String, Fetch>()
    /** What closes the dialogs that are open. Used on the main thread only, as messages and answers come there. */
    private val dialogs = HashMap<String, () -> Unit>()

    init {
        val assets = WebViewAssetLoader.Builder()
            .addPathHandler("/assets/", WebViewAssetLoader.AssetsPathHandler(context))
            .build()
        view.webViewClient = object : WebViewClient() {
            override fun shouldInterceptRequest(view: WebView, request: WebResourceRequest) =
                assets.shouldInterceptRequest(request.url)
            // The bridge is for this page: it must not go anywhere else.
            override fun shouldOverrideUrlLoading(view: WebView, request: WebResourceRequest) =
                !request.url.toString().startsWith("$ORIGIN/")
        }
        view.settings.javaScriptEnabled = true
        // Unlike addJavascriptInterface this gives the object only to pages of the origins named here.
        WebViewCompat.addWebMessageListener(view, "AndroidBridge", setOf(ORIGIN)) { _, message, _: Uri, isMainFrame, reply ->
            if (isMainFrame) message.data?.let { page = reply; heard(JSONObject(it)) }
        }
        view.loadUrl("$ORIGIN/assets/sprat/index.html")
    }

    /** Calls `sprat.load`, `sprat.chat` and so on; the answer and the events come to `hear`. */
    fun call(id: Int, method: String, params: JSONObject = JSONObject()) =
        send(JSONObject().put("id", id).put("method", method).put("params", params))

    /** From Activity.onTrimMemory. */
    fun memoryWarning(level: String) = notify("sprat.memoryWarning", JSONObject().put("level", level))

    private fun notify(method: String, params: JSONObject) = send(JSONObject().put("method", method).put("params", params))

    // A webview belongs to the main thread; the network does not.
    private fun send(message: JSONObject) = view.post { page?.postMessage(message.put("jsonrpc", "2.0").toString()) }

    private fun heard(message: JSONObject) {
        val params = message.optJSONObject("params")
        when (message.optString("method")) {
            "host.fetch" -> fetch(message.getString("id"), params!!)
            "host.fetch.ack" -> fetches[params!!.getString("id")]?.acknowledge(params.getLong("bytes"))
            "host.fetch.cancel" -> fetches.remove(params!!.getString("id"))?.cancel()
            "host.ask" -> ask(message.getString("id"), params!!.getJSONObject("offer"))
            "host.ask.cancel" -> dialogs.remove(params!!.getString("id"))?.invoke()
            else -> hear(message)
        }
    }

    private fun ask(id: String, offer: JSONObject) {
        dialogs[id] = ask(offer) { yes ->
            dialogs.remove(id)
            send(JSONObject().put("id", id).put("result", JSONObject().put("yes", yes)))
        }
    }

    private fun fetch(id: String, request: JSONObject) {
        // The page says where to; the app decides whether its token may go there.
        if (!request.getString("url").startsWith(API)) {
            send(JSONObject().put("id", id).put("error", JSONObject().put("code", -32050).put("message", "not allowed")))
            return
        }
        val fetch = Fetch(id, request)
        fetches[id] = fetch
        network.execute(fetch)
    }

    private inner class Fetch(private val id: String, private val request: JSONObject) : Runnable {
        private val lock = ReentrantLock()
        private val changed = lock.newCondition()
        private val window = request.getLong("window")
        private var acknowledged = 0L
        @Volatile private var connection: HttpURLConnection? = null
        @Volatile private var cancelled = false

        fun acknowledge(bytes: Long) = lock.withLock { acknowledged = bytes; changed.signalAll() }

        fun cancel() = lock.withLock { cancelled = true; connection?.disconnect(); changed.signalAll() }

        override fun run() {
            try {
                val http = URL(request.getString("url")).openConnection() as HttpURLConnection
                connection = http
                // A token must not follow a redirection to somebody else.
                http.instanceFollowRedirects = false
                http.requestMethod = request.getString("method")
                val headers = request.getJSONObject("headers")
                for (name in headers.keys()) http.setRequestProperty(name, headers.getString(name))
                http.setRequestProperty("Authorization", "Bearer ${token()}")
                if (!request.isNull("body")) {
                    http.doOutput = true
                    http.outputStream.use { it.write(request.getString("body").toByteArray()) }
                }
                val status = http.responseCode
                val type = JSONObject().put("content-type", http.contentType ?: "")
                send(JSONObject().put("id", id).put("result", JSONObject().put("status", status).put("headers", type)))
                pump(if (status < 400) http.inputStream else http.errorStream)
            } catch (_: Exception) {
                // No reason is told: an exception may hold what was asked.
                if (!cancelled) notify("host.fetch.error", JSONObject().put("id", id))
            } finally {
                fetches.remove(id)
            }
        }

        private fun pump(body: java.io.InputStream?) {
            val buffer = ByteArray(16 shl 10)
            var (seq, sent) = 0 to 0L
            while (true) {
                val count = body?.read(buffer) ?: -1
                if (count < 0) break
                lock.withLock { while (!cancelled && sent + count - acknowledged > window) changed.await() }
                if (cancelled) return
                sent += count
                val data = Base64.encodeToString(buffer, 0, count, Base64.NO_WRAP)
                notify("host.fetch.chunk", JSONObject().put("id", id).put("seq", seq++).put("data", data).put("encoding", "base64"))
            }
            notify("host.fetch.end", JSONObject().put("id", id).put("seq", seq))
        }
    }
}
