package daemon

import (
	"context"
	"errors"

	"github.com/zimage-gateway/zimage-gateway/internal/imagegen"
	"github.com/zimage-gateway/zimage-gateway/internal/job"
	"github.com/zimage-gateway/zimage-gateway/internal/worker"
)

// keeper keeps nothing.
type keeper struct{}

func (keeper) Keeps(imagegen.Drawing) bool { return false }
func (keeper) Final(error) bool            { return true }
func (keeper) Keep(context.Context, job.ID, imagegen.Drawing, string, int) (worker.Kept, error) {
	return worker.Kept{}, errors.New("there is no image store")
}
