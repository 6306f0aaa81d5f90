package imagestore

import (
	"fmt"

	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"
)

// Memory is the bucket mem:// of one process, for all of its stores.
type Memory struct{ bucket *blob.Bucket }

// NewMemory returns an empty one. Close it after the stores.
func NewMemory() *Memory { return &Memory{bucket: memblob.OpenBucket(nil)} }

// Close forgets the pictures.
func (m *Memory) Close() error {
	if err := m.bucket.Close(); err != nil {
		return fmt.Errorf("close the pictures in memory: %w", err)
	}
	return nil
}
