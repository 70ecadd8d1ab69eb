# ---
# jupyter:
#   jupytext:
#     cell_metadata_filter: tags,mystnb,-all
#     formats: ipynb,py:percent
#     notebook_metadata_filter: kernelspec,jupytext,-all
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Masked fine-tuning
#
# PAGE-4D takes a network that was trained on still scenes to moving ones by training a few blocks in the middle, with a
# mask that fades away: this page runs that, small but whole.
#
# **You will learn** which parameters train, how learning rates and mask are scheduled, what the losses say, and what
# the mask looks like before and after.
#
# **Needs**: two minutes on two cores. The real experiment (`experiment = "paper"`) needs a GPU of 80 GB, the public
# training data, and about a day; the head of `conf/experiment/paper.yaml` says how that was computed. What is fitted to
# what is told in [Losses, with formulas](20_losses_with_formulas.ipynb), the mask in [Inside the model II: the
# mask](04_inside_the_model_mask.ipynb); symbols are on the page of [notation](../notation.md).
#
# **The small run** has `steps` steps on synthetic scenes at the network's own size with a batch of `batch_size`. That is
# enough to see every part work, and far too short to judge the method: that takes the study of [Does the mask
# help?](06_does_the_mask_help.ipynb).

# %% tags=["parameters"]
experiment = "tiny_finetune_mask"
weights = "vggt-tiny"
steps = 16
batch_size = 2
seed = 0
folder = ""
results = ""

# %% tags=["remove-cell"]
import page4d

page4d.check_parameters()

# %% [markdown]
# ## Teach as little as possible
#
# VGGT knows cameras, depth and points of still scenes {cite}`wang2025vggt`, from far more data than anybody has of moving
# ones. Whoever now trains all of it on a few moving videos may get a network that knows these videos, and has forgotten
# much of the rest: this is the old trouble with fine-tuning. So the question is not "how do we train on moving scenes?" but
# "what is the least that must change?".
#
# PAGE-4D's answer {cite}`zhou2025page4d` has three parts. *Where*: the first pairs of blocks make pictures into something
# comparable, the last ones make it into what the heads can read; both are right for moving scenes as well. The confusion
# of motions, so the paper argues, happens between, where frames talk about geometry. So only the middle pairs are trained, and
# everything else is frozen. *How far*: with a small learning rate, that rises from nothing and falls to nothing. *With what
# help*: a mask that holds moving patches away from the camera tokens at first, and fades. The blocks are led to the right
# solution before they are left alone.
#
# Freezing has a second use. The heads were never shown the new tokens, and cannot adapt. Whatever the middle pairs learn, they
# must say it in the language that the heads have always understood. The price is as clear: an error of a head, for instance
# at the edge of a moving thing, cannot be repaired in the middle.
#
# ## A run is a configuration
#
# An experiment is a file of differences from the defaults. The mask's two steps scale with the run: in the paper's
# configuration it is whole for 6,000 of 32,000 steps and gone after 10,000 (quoted from the public configuration). What is
# printed is the command that does the same from a shell; each word changes one value, and a word that no setting knows is
# refused before anything is loaded.

# %%
import tempfile

folder = folder or tempfile.mkdtemp(prefix="masked_finetuning_")
short = [f"trainer.max_steps={steps}", f"data.batch_size={batch_size}"]
short += [f"model.mask_hold_start={steps * 6 // 32}"]
short += [f"model.mask_hold_end={steps * 10 // 32}"]
often = ["trainer.log_every=1", f"trainer.save_every={steps // 2}"]
often += ["trainer.validate_every=0", "trainer.image_every=0", "~data.val"]
place = [f"start.weights={weights}", f"trainer.seed={seed}", f"paths.run={folder}"]
words = [f"experiment={experiment}", *place, *short, *often]
quiet = ["trainer.progress=false", "trainer.tensorboard=false"]
print("page4d train", *words[:1], *short)

# %%
from page4d.train import open_trainer

trainer = open_trainer([*words, *quiet])
print(trainer.loaded)

# %% [markdown]
# ## What trains
#
# Only the pairs of blocks that use the mask, and the head that makes it. Everything before them sees pictures as it did,
# everything after them reads tokens as it did. In the table, look at the two columns of the blocks: the same kind of block
# stands in both. The special tokens themselves are frozen too: the camera token may be heard differently, but it starts as
# it always did.

# %% tags=["hide-input"]
import pandas as pd

sizes = {}
for name, parameter in trainer.model.named_parameters():
    part = ".".join(name.split(".")[: 2 if name.startswith("aggregator") else 1])
    kind = "trains" if parameter.requires_grad else "frozen"
    row = sizes.setdefault(part, {"trains": 0, "frozen": 0})
    row[kind] += parameter.numel()
pd.DataFrame(sizes).T.map("{:,}".format)

# %% [markdown]
# ## Schedules
#
# One counter, of optimizer steps, drives the learning rates and the mask, and it is saved with each checkpoint. (The public
# code counts forward passes, two per step, in a number that it does not save: after a restart its mask begins anew.)
#
# {numref}`fig-finetune-schedule` has all of them over this run.

# %% mystnb={"figure": {"caption": "Learning rates of the two groups, and the mask's strength alpha, over the run.", "name": "fig-finetune-schedule"}}
from page4d.model import mask_alpha
from page4d.viz import schedule_figure

shape = trainer.model.config
at = range(steps)
rates = {
    name: [schedule(step / steps) for step in at]
    for name, schedule in trainer.schedules.items()
}
ends = shape.mask_hold_start, shape.mask_hold_end
sheet = schedule_figure(at, rates, [mask_alpha(step, *ends) for step in at])

# %% [markdown]
# With $u \in [0, 1]$ the part of the run that is done, every learning rate $\eta$ is a straight line up to a share $a$ of
# the run and then half a cosine down {cite}`loshchilov2017sgdr`:
#
# $$ \begin{aligned}
#    \eta(u) &= \eta_0 + (\eta_1 - \eta_0)\,\frac{u}{a} && (u < a), \\
#    \eta(u) &= \eta_0 + \frac{\eta_1 - \eta_0}{2} \left( 1 + \cos \frac{\pi (u - a)}{1 - a} \right) && (u \ge a) .
#    \end{aligned} $$
#
# Here $\eta_0$ is nearly nothing and $\eta_1$ the peak. Why start from nothing? AdamW {cite}`loshchilov2019adamw` divides each
# step by what it remembers of the size of gradients; at the beginning it remembers nothing, and its first steps are all of
# full length, in whatever direction the first batch says. In weights that took a long training to find, that is not wanted. The mask
# head has its own group, in the paper's configuration with a higher peak and a longer rise: it starts from random numbers and has more to learn, but while it is
# random it should not move much either.
#
# In {numref}`fig-finetune-schedule`, lay a ruler from top to bottom. In the paper's run the mask begins to fade long after
# the blocks have passed their peak, and more than two thirds of all steps are made without any mask. What the network finally
# is, it becomes there.
#
# ## Before
#
# The mask head of a network that never had one is random, and so is its mask. We keep a copy for later.

# %%
import torch
from page4d.world import split_clip

side = trainer.model.config.img_size
clip = split_clip("dynamic-val", 3, height=side, width=side, frames=4)


def mask_now():
    """The mask of the clip at full strength, whatever the step."""
    aggregator = trainer.model.aggregator
    step, aggregator.mask_step = aggregator.mask_step, 0
    with torch.no_grad():
        out = aggregator.run(clip.images[None], keep=())
    aggregator.mask_step = step
    return None if out.mask is None else out.mask[0].numpy()


before = mask_now()

# %% [markdown]
# ## Train
#
# Each iteration sums the gradients of its micro-batches, clips them by group, asks all processes whether everything
# is finite, and takes one step. *Sums*, because the batch that the method wants is larger than what a memory holds. *Clips*,
# because one clip with a wrong pose can have a gradient a hundred times as long as all others; it then says the direction, but
# no longer how far. *Asks*, because a number that is not finite on one of eight machines would otherwise be spread to the
# other seven by the next sum, and everything learned would be gone. A step that is not finite is left out by all of them.

# %%
outcome = trainer.run()
print(
    f"step {outcome.step}, {trainer.position.seconds:.0f} s, exit code {outcome.exit_code}"
)

# %% mystnb={"figure": {"caption": "Losses of the short run; thin lines are single steps, thick ones running means (alpha is as it was). The camera loss counts five times in the objective.", "name": "fig-finetune-losses"}}
from page4d.train import read_scalars
from page4d.viz import curves_figure

records = read_scalars(folder)
titles = {"objective": "objective", "loss_camera": "camera", "loss_reg_depth": "depth"}
titles |= {"loss_reg_point": "points", "grad_norm/aggregator": "gradient norm"}
titles |= {"mask_alpha": "alpha"}
sheet = curves_figure({"this run": records}, titles, window=9, exact=("mask_alpha",))

# %% [markdown]
# How to read {numref}`fig-finetune-losses`: a batch of two clips is a small sample, and how hard these clips happen to be moves
# a single loss by more than a few steps of training can. That is why thin lines jump. A loss may be below zero, since
# confidence is rewarded by a logarithm. What one looks for in the first minutes of any run is not that lines fall, but that
# nothing explodes, that no term is exactly 0 (a switched-off head, an empty mask), and that the gradient is about as long as
# it was a moment ago. The last panel shows alpha as the network saw it, from the log and not from the formula; the log counts
# a step when it is done, so what the schedule has at step 0 stands at step 1 there.
#
# ## After
#
# The mask head got its gradient only through the pose tokens, while alpha was above 0. Nobody told it what moves.
# {numref}`fig-finetune-mask` sets the mask before beside the mask after.

# %% mystnb={"figure": {"caption": "Pictures, the mask before and after the short run, and the pixels that truly move. Blue patches lose the attention of the pose tokens.", "name": "fig-finetune-mask"}}
from page4d.viz import Row, contact_sheet

after = mask_now()
pictures = clip.images.permute(0, 2, 3, 1).numpy()
moving = clip.moving.numpy()
rows = [Row(pictures, "image")]
if after is not None:
    reach = float(max(abs(before).max(), abs(after).max()))
    limits = (-reach, reach)
    rows += [Row(before, "before", "m", "RdBu_r", limits)]
    rows += [Row(after, "after", "m", "RdBu_r", limits)]
rows += [Row(moving.astype(float), "moving", "0 still, 1 moving", "magma", (0, 1))]
sheet = contact_sheet(rows)

# %%
from page4d.result import moving_auc, patches_moving

if after is not None:
    patches = patches_moving(moving, *after.shape[1:])
    told = {"before": before, "after": after}
    changed = float(abs(after - before).mean())
    print(f"mean change of m: {changed:.4f}")
    for name, mask in told.items():
        print(f"{name}: moving patches have the lower m in", end=" ")
        print(f"{100 * moving_auc(-mask, patches):.0f} % of pairs (chance: 50 %)")

# %% [markdown]
# A share around a half says that the mask does not tell what moves. One well below a half says that it tells, and draws the
# pose tokens' attention there instead of away: the losses alone do not fix which way it is used. Set the mean change of $m$
# beside the table in [Inside the model II: the mask](04_inside_the_model_mask.ipynb) that says what a hundredth is worth.
# This is one clip, so the share says what happened here and nothing of the method.
#
# ## Stop and go on
#
# The same command in the same folder goes on from the last checkpoint, with the same losses to the last bit, as if it
# had never stopped. Here we go back to the middle of the run and repeat its second half. For this to hold, a checkpoint must
# know more than weights: what the optimizer remembers of each of them, the one counter, the place in the stream of data and
# the state of every source of chance. It is worth the trouble even if nobody ever stops a run. A training that can be repeated
# from any point is one in which a strange step can be looked at twice.

# %%
again = open_trainer([*words, *quiet, f"trainer.resume={steps // 2}"])
again.run()
repeated = read_scalars(folder)
print("equal to the last bit:", repeated == records)

# %% [markdown]
# ## Full runs
#
# A few steps show a mechanism. What follows are the runs that made something.
#
# The networks that come with this package were trained in the stated time, stage after stage: the first on a processor, the
# others on a GPU by one program. What follows is read from stored logs; the table says in the order of the stages how far
# each of them went, how long it took, on what, when, and which code made it.
#
# ```bash
# page4d train experiment=tiny_match trainer.max_steps=1400
# python benchmarks/family.py --compose family.json
# python benchmarks/family.py --configs family.json --seconds 180 \
#   --out early --scratch early/runs \
#   --have match=runs/tiny_match/best.safetensors --stages grow static
# python benchmarks/family.py --configs family.json --seconds 500 --out family \
#   --have static=early/runs/static.safetensors \
#   --stages long dynamic lengths mask exam
# python benchmarks/family_publish.py --configs family.json --family family
# ```
#
# Each stage is an experiment that `page4d train` runs by itself, too: `tiny_match`, `tiny_grow`, `tiny_pretrain`,
# `tiny_pretrain_long` (vggt-tiny), `tiny_finetune_long`, `tiny_lengths` (page4d-tiny) and `tiny_mask_kept`
# (page4d-tiny-mask).

# %% tags=["hide-input"]
from page4d.evaluate import read_result, stored_results

stages = ["tiny_match", "tiny_grow", "tiny_pretrain", "tiny_pretrain_long"]
stages += ["tiny_finetune_long", "tiny_lengths", "tiny_mask_kept"]
files = {path.stem: path for path in stored_results("runs", results).glob("*.json")}
names = [*stages, *sorted(files.keys() - set(stages))]
stored = {name: read_result(files[name]) for name in names if name in files}
about = {}
for name, run in stored.items():
    ended, made_by = run["run"]["ended"], run["run"]["provenance"]
    row = {"steps": f"{ended['step']:,}", "minutes": f"{ended['seconds'] / 60:.1f}"}
    row |= {"on": made_by["hardware"], "date": made_by["date"]}
    about[name] = row | {"code": made_by["code_revision"][:10]}
pd.DataFrame(about).T if about else print("no runs are stored")

# %% tags=["hide-input"]
from page4d.train import changes_text

for name, run in stored.items():
    if changes := changes_text(run["run"]):
        print(f"settings of {name} changed on the way.{changes}")

# %% mystnb={"figure": {"caption": "Validation on unseen moving scenes over all stages, first to last, against the pictures seen. Dashed: the aims that the project set itself. The first stages have no depth head.", "name": "fig-stored-runs"}}
from page4d.evaluate import AIMS
from page4d.train import pictures_seen
from page4d.viz import progress_figure

chain = pictures_seen([stored[name] for name in stages if name in stored])
aims = {f"dynamic-val/{aim.score}": aim.limit for aim in AIMS}
names = {"dynamic-val/abs_rel_still": "AbsRel, still pixels"}
names |= {"dynamic-val/abs_rel_moving": "AbsRel, moving pixels"}
names |= {"dynamic-val/relative_rotation_ratio": "rotation / still camera's"}
names |= {"dynamic-val/direction": "direction, median (degrees)"}
sheet = progress_figure(chain, names, aims) if chain else None

# %% tags=["hide-input"]
from page4d.train import last_doubling

for name, title in names.items():
    change = last_doubling(chain, name)
    if change is not None:
        now = [r[name] for r in chain if r.get(name) is not None][-1]
        word = "reached" if now <= aims[name] else "missed"
        way = "less" if change < 0 else "more"
        print(f"{title}: {now:.3g}, aim {aims[name]:g} {word};", end=" ")
        print(
            f"{100 * abs(change):.0f} % {way} after the last doubling of the pictures"
        )

# %% [markdown]
# In {numref}`fig-stored-runs`, keep 1 in mind for the ratio: there a network knows as much of the camera as somebody who says
# that it stands still. For the direction of motion it is 90 degrees, which is chance. All stages are measured on the same unseen moving scenes, so that a stage that trains on something
# else (still scenes, larger motion) may well be flat here and yet be of use to the next.
#
# The matching stages learn how pictures correspond, in frames with large motion, first at 48 px, where 36 patches make it
# easy to find out that the same thing can be found again, then at 112; the pre-training adds depth
# and points on still scenes; the others go on from it on moving scenes. Read the figure as what more hours would give: on
# logarithmic axes a straight line changes by the same share whenever the pictures double. It is no promise, for the
# stages differ in their recipes, and the learning rate of each falls to nothing at its end. No trajectory error after an
# alignment is shown: with four cameras the alignment takes so much away that a straight line is hard to beat
# ([Camera pose](12_camera_pose.ipynb) measures it).
#
# ## Short of scenes, or short of steps?
#
# A network that has learned its clips by heart does better on them than on others; only more scenes help it. One that
# knows both equally well has learned a rule and not yet learned it well: it lacks steps, or parameters. Here that is easy to
# ask, because a batch is a function of its number: {numref}`tab-seen` draws the last batches of the longest stage on moving scenes
# once more, and as many that no stage drew.

# %% mystnb={"figure": {"caption": "The built-in network on clips of its own training, and on others drawn in the same way: means with 95 % intervals over clips, rotation and direction as in its card.", "name": "tab-seen"}}
import json

from page4d.evaluate import with_interval

measured = json.loads((stored_results("speed") / "seen.json").read_text())[
    "page4d-tiny"
]
titles = {"seen": "clips it trained on", "unseen": "other clips"}
scores = {name.split("/")[1]: title for name, title in names.items()}
columns = {}
for kind, title in titles.items():
    mean, ends = measured[kind]["mean"], measured[kind]["interval"]
    columns[title] = {
        name: with_interval(mean[score], *ends[score]) for score, name in scores.items()
    }
pd.DataFrame(columns)

# %% tags=["remove-input"]
seen, unseen = (measured[kind]["interval"] for kind in titles)
better = [scores[score] for score in scores if seen[score][1] < unseen[score][0]]
counts = [f"{measured[kind]['n']:,} {title}" for kind, title in titles.items()]
print(f"{', '.join(counts)} ({measured['hardware']}, {measured['date']}):", end=" ")
print(
    f"better on the first in {', '.join(better) or 'no score'} by intervals that do not overlap."
)

# %% [markdown]
# It has learned nothing by heart: what it lacks is steps or parameters, and no number of further scenes would give it those.
# That is the comfortable side of a synthetic world, in which the next scene is always a new one.

# %% [markdown]
# ## More frames
#
# Clips of training have eight frames at most. {numref}`fig-frames` says what the same networks do with two to 32, from
# their stored exams: the same few clips, each from its first frame on. *No network* is the best answer that sees no
# picture: the usual depth of each image row, a camera that never turns, a direction that is none (90 degrees), and, for the
# error of the path after the best similarity alignment (ATE, in the mean point distance of a clip), a straight line.

# %% mystnb={"figure": {"caption": "Errors of the built-in networks over the number of frames, on the first clips of dynamic-test, with 95 % intervals over these clips. No network: the usual depth of each row, a still camera, no direction, a straight line.", "name": "fig-frames"}}
from page4d.evaluate import lengths_figure

exams = [read_result(path) for path in stored_results("builtin").glob("*.json")]
exams.sort(key=lambda exam: exam["about"]["label"], reverse=True)
sheet = lengths_figure(exams) if exams else None

# %% tags=["remove-input"]
from IPython.display import Markdown

told = []
for exam in exams:
    few, many = (exam["frames"][count] for count in ("2", "32"))
    depth = [part["mean"]["abs_rel"] for part in (few, many)]
    turn = [part["mean"]["relative_rotation_ratio"] for part in (few, many)]
    path = many["mean"]["ate_ratio"]
    told.append(
        f"`{exam['about']['label']}`, from 2 to 32 frames: AbsRel {depth[0]:.2f} to {depth[1]:.2f}, "
        f"rotation {turn[0]:.2f} to {turn[1]:.2f} of a still camera's; "
        f"ATE at 32 frames {path:.2f} of a straight line's."
    )
clips = f"Each point is an average over {few['n']} clips." if exams else ""
Markdown(" ".join([*told, clips]))

# %% [markdown]
# A longer clip moves the camera further, so its rotation error grows by itself; the share of a still camera's error is what
# can be compared.

# %% [markdown]
# ## Recap
#
# - An experiment is a file of differences; one command runs it, the same command goes on with it.
# - Only the masked pairs and the mask head train. Learning rates and mask follow one counter of optimizer steps.
# - A short run shows that every part works. What it cannot show is whether the method helps: [Does the mask help?](06_does_the_mask_help.ipynb).
#
# ## Exercises
#
# **1.** Which share of the parameters trains?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
table = pd.DataFrame(sizes).sum(axis=1)
print(f"{100 * table['trains'] / table.sum():.0f} % of {table.sum() / 1e6:.1f} million")

# %% [markdown]
# **2.** In the paper's configuration, at which of its 32,000 steps is the mask at half its strength?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
print(next(step for step in range(32_000) if mask_alpha(step, 6_000, 10_000) <= 0.5))

# %% [markdown]
# **3.** A batch of two sequences is accumulated from two micro-batches of one. Is the gradient the same as from both at once?
# Think of what each loss divides by.

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
errors = [
    torch.tensor([1.0, 1.0, 1.0]),
    torch.tensor([5.0]),
]  # three valid pixels, and one
at_once = torch.cat(errors).mean()
in_parts = torch.stack([e.mean() for e in errors]).mean()
print(f"at once {at_once:.2f}, in parts {in_parts:.2f}")
# Only if both parts have equally many valid pixels: the losses are means over valid pixels of their micro-batch.

# %% [markdown]
# **4.** After how many steps of its run does the paper's mask head have its largest learning rate, and how strong is the mask
# then? The rise takes 15 % of 32,000 steps (quoted from the public configuration).

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
peak = int(0.15 * 32_000)
print(f"step {peak}: alpha = {mask_alpha(peak, 6_000, 10_000):g}")
left = 10_000 - peak
print(f"{left:,} steps later the mask is gone, and the head learns nothing any more")

# %% [markdown]
# **5.** Gradients of length 1 come in steps, and one of length 100 among them. How far does the sum of ten steps go, in the
# direction of the outlier, with and without clipping at 1?

# %% mystnb={"code_prompt_hide": "Hide the solution", "code_prompt_show": "Show the solution"} tags=["hide-cell"]
gradients = torch.tensor([[1.0, 0.0]] * 9 + [[0.0, 100.0]])
lengths = gradients.norm(dim=1, keepdim=True)
clipped = gradients / lengths.clamp(min=1)
print("plain  ", gradients.sum(0).tolist())
print("clipped", clipped.sum(0).tolist())
# Without clipping, one clip decides where all ten go.

# %% [markdown]
# ## Further reading
#
# {cite:t}`loshchilov2019adamw` for the optimizer and {cite:t}`loshchilov2017sgdr` for the cosine;
# {cite:t}`zhang2025monst3r` fine-tune another network on moving scenes, without a mask. The losses have a chapter: [Losses,
# with formulas](20_losses_with_formulas.ipynb).
