// Package simupstream is a stand-in for the upstream image service: it speaks the exacg protocol, draws real pictures and
// fails on demand.
//
// A generate call costs next to nothing: it answers with a link that holds all there is to know about the picture, and
// the picture is drawn when the link is fetched. So the server keeps no pictures, any number of calls can be under way,
// and a link from a server that was stopped works on the next one.
//
// Beside the protocol it counts: how many calls there were, how many at once and for how long, and what they said.
package simupstream
