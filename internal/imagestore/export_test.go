package imagestore

import "context"

// Sweep is one sweep of [Store.Run].
func (s *Store) Sweep(ctx context.Context) error { return s.sweep(ctx) }
