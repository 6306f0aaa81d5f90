// Package sdwebui calls AUTOMATIC1111's Stable Diffusion web UI and its kin, Forge and SD.Next: /sdapi/v1/txt2img for
// pictures, /sdapi/v1/img2img for changed ones, /sdapi/v1/progress for how far the present one is.
//
// It owns that protocol: the requests, the replies with the picture as base64 and its true seed in a JSON text, and the
// error shapes of the three programs. What the ways a call can end mean is package adapter's.
//
// The shapes are taken from:
//
//   - AUTOMATIC1111: modules/api/api.py at 0050a35429b8 (a failure is {"error","detail","body","errors"}, status 500 for any
//     exception of Python's) and modules/api/models.py at 008a8e757638.
//   - Forge: modules/api/api.py at 0bdbe79b48cc (failures as FastAPI's own, {"detail"}; any exception is a page with 500).
//   - SD.Next: modules/api/generate.py at 175e9cbe29e9, middleware.py at 0387d1402185 (failures also have "code") and
//     server.py at 0e76332b5a12.
//
// All three draw one picture at a time: further calls wait in the server, and in the call's own time. An upstream of this
// kind is best given a limit of one call at once.
//
// Progress is the server's, not a call's: it tells how far the picture is that is being drawn, whoever asked for it.
// The field force_task_id does not help: AUTOMATIC1111 and Forge compare it elsewhere, but the current_task of this endpoint
// is always null (the name is imported by value), and SD.Next knows no such field. So it is handed on only while it can be
// this call's: the client has no other call under way, and the server's job was not begun in a browser (those are named
// "task(…)" by AUTOMATIC1111 and Forge). Another gateway or script at the same server can still be mistaken for this call.
//
// A call that is given up does not interrupt the server: /sdapi/v1/interrupt stops whatever picture is being drawn, and that
// may be somebody else's while ours still waits. The server finishes the picture for nobody, which costs it some seconds.
package sdwebui
