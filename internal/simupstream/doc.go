// Package simupstream is a stand-in for upstream image services: it speaks the exacg protocol, the images part of the
// OpenAI API and that of the Stable Diffusion web UI, draws real pictures and fails on demand.
//
// A generate call costs next to nothing where the answer is a link: that holds all there is to know about the picture,
// which is drawn when the link is fetched. So the server keeps no pictures, any number of calls can be under way, and a
// link from a server that was stopped works on the next one. A call that is answered with the picture itself costs what
// drawing it does.
//
// Beside the protocols it counts: how many calls there were, how many at once and for how long, and what they said, over
// all protocols together. Calls for progress are not counted.
package simupstream
