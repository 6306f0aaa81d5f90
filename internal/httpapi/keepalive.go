package httpapi

import (
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/go-chi/chi/v5/middleware"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/openai"
)

// newlinePause is the pause between two newlines of a reply that is kept alive.
const newlinePause = 10 * time.Second

// keepalive keeps a plain reply alive through proxies that cut silent connections: after a while it sends status 200, and
// then newlines, which JSON parsers skip. Its timer runs beside the handler, which may not touch the reply until stop.
type keepalive struct {
	mu        sync.Mutex
	w         middleware.WrapResponseWriter
	timer     *time.Timer // nil until start
	committed bool
	stopped   bool
}

func (k *keepalive) start(w middleware.WrapResponseWriter, after time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.w = w
	k.timer = time.AfterFunc(after, k.beat)
}

func (k *keepalive) beat() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.stopped {
		return
	}
	if !k.committed {
		k.committed = true
		setJSON(k.w.Header())
		k.w.WriteHeader(http.StatusOK)
	}
	allowTime(k.w, 1)
	// A client that is gone ends the request's context, and with it the wait.
	if _, err := k.w.Write([]byte{'\n'}); err == nil {
		_ = http.NewResponseController(k.w.Unwrap()).Flush()
	}
	k.timer.Reset(newlinePause)
}

// stop ends the newlines, if there were any, and reports whether a status was sent.
func (k *keepalive) stop() (committed bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.stopped = true
	if k.timer != nil {
		k.timer.Stop()
	}
	return k.committed
}

// committedWriter leaves out a status that was sent already.
type committedWriter struct {
	http.ResponseWriter
	committed bool
}

// Unwrap is for http.ResponseController.
func (w committedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader sends the status unless one was sent.
func (w committedWriter) WriteHeader(status int) {
	if !w.committed {
		w.ResponseWriter.WriteHeader(status)
	}
}

const (
	// writeTimeout is how long a client may leave a small write lying in its buffers; slowest is what is allowed beyond
	// that for a large one, in bytes a second.
	writeTimeout = 15 * time.Second
	slowest      = 64 << 10
)

// allowTime sets how long the next n bytes may take. The server takes it back before the connection's next request.
func allowTime(w http.ResponseWriter, n int) {
	// Recorders in tests know no deadlines.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout + time.Duration(n/slowest)*time.Second))
}

// breakOff breaks the connection of a reply that has begun and will not be completed, so that nobody takes it for whole.
//
// Proxies speak HTTP/1.0 to us by default (nginx before 1.29.7), where a closed connection is the regular end of a reply
// without a length; only a reset is not.
func (x *exchange) breakOff(r *http.Request, e *imagegen.Error) {
	x.err, x.status = e, openai.ClassOf(e.Kind).Status
	if r.ProtoMajor > 1 {
		panic(http.ErrAbortHandler)
	}
	conn, _, err := http.NewResponseController(x.w.Unwrap()).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // recorders in tests have no connection
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		err = tcp.SetLinger(0)
	}
	_ = errors.Join(err, conn.Close())
}
