package daemon

import (
	"context"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/imagestore"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/worker"
)

// keeper has the worker put what was drawn into the image store. Its zero value keeps nothing.
type keeper struct{ copier *imagestore.Copier }

func (k keeper) Keeps(d imagegen.Drawing) bool { return k.copier != nil && k.copier.Keeps(d) }
func (k keeper) Final(err error) bool          { return imagestore.Permanent(err) }

func (k keeper) Keep(ctx context.Context, id job.ID, d imagegen.Drawing, format string, compression int) (worker.Kept, error) {
	c, err := k.copier.Copy(ctx, string(id), d, format, compression)
	if err != nil {
		return worker.Kept{}, err
	}
	return worker.Kept{File: c.Name, Width: c.Width, Height: c.Height}, nil
}
