package job

// Delivery is one try to tell a client's server of a job's end.
type Delivery struct {
	Job Job    // as it ended
	URL string // where the client wants to be told
	Try int    // from 1
}
