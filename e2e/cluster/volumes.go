package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
)

const (
	provisionerName        = "distric.io/folders"
	provisionerAnnotation  = "volume.kubernetes.io/storage-provisioner"
	selectedNodeAnnotation = "volume.kubernetes.io/selected-node"
	provisionedBy          = "pv.kubernetes.io/provisioned-by"
)

// Volumes that are folders of this machine: made for claims, larger when the claim says so, removed when they are
// released. All nodes are on this machine, so a volume follows its pod to any of them, as a disk in a network would.
// How much is in a folder is not held to its capacity.
type volumes struct {
	client kubernetes.Interface
	folder string
	claims corelisters.PersistentVolumeClaimLister
	made   corelisters.PersistentVolumeLister
}

func newVolumesCommand() *cobra.Command {
	var kubeconfig, folder string
	command := &cobra.Command{
		Use:           "volumes",
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(command *cobra.Command, _ []string) error {
			config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
			if err != nil {
				return err
			}
			client, err := kubernetes.NewForConfig(config)
			if err != nil {
				return err
			}
			return runVolumes(command.Context(), client, folder)
		},
	}
	command.Flags().StringVar(&kubeconfig, "kubeconfig", "", "how to reach the API server")
	command.Flags().StringVar(&folder, "folder", "", "where the volumes are")
	return command
}

func runVolumes(ctx context.Context, client kubernetes.Interface, folder string) error {
	factory := informers.NewSharedInformerFactory(client, 0)
	claims := factory.Core().V1().PersistentVolumeClaims()
	made := factory.Core().V1().PersistentVolumes()
	changed := make(chan struct{}, 1)
	note := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	handler := cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { note() },
		UpdateFunc: func(any, any) { note() },
		DeleteFunc: func(any) { note() },
	}
	for _, informer := range []cache.SharedIndexInformer{claims.Informer(), made.Informer()} {
		if _, err := informer.AddEventHandler(handler); err != nil {
			return err
		}
	}
	all := &volumes{client: client, folder: folder, claims: claims.Lister(), made: made.Lister()}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	for range changed {
		if err := all.reconcile(ctx); err != nil {
			klog.Error(err)
		}
	}
	return nil
}

func (all *volumes) reconcile(ctx context.Context) error {
	claims, err := all.claims.List(labels.Everything())
	if err != nil {
		return err
	}
	for _, claim := range claims {
		if err := all.serve(ctx, claim); err != nil {
			klog.Errorf("claim %s/%s: %v", claim.Namespace, claim.Name, err)
		}
	}
	made, err := all.made.List(labels.Everything())
	if err != nil {
		return err
	}
	for _, volume := range made {
		if isOurs(volume) && volume.Status.Phase == corev1.VolumeReleased &&
			volume.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimDelete {
			if err := all.remove(ctx, volume); err != nil {
				klog.Errorf("volume %s: %v", volume.Name, err)
			}
		}
	}
	return nil
}

func isOurs(volume *corev1.PersistentVolume) bool {
	return volume.Annotations[provisionedBy] == provisionerName
}

func (all *volumes) serve(ctx context.Context, claim *corev1.PersistentVolumeClaim) error {
	if claim.Annotations[provisionerAnnotation] != provisionerName {
		return nil
	}
	if claim.Spec.VolumeName != "" {
		return all.grow(ctx, claim)
	}
	if claim.DeletionTimestamp != nil || claim.Spec.StorageClassName == nil {
		return nil
	}
	class, err := all.client.StorageV1().StorageClasses().Get(ctx, *claim.Spec.StorageClassName, metav1.GetOptions{})
	if err != nil {
		return err
	}
	waits := class.VolumeBindingMode != nil && *class.VolumeBindingMode == storagev1.VolumeBindingWaitForFirstConsumer
	if waits && claim.Annotations[selectedNodeAnnotation] == "" {
		return nil
	}
	return all.make(ctx, claim, class)
}

func (all *volumes) make(
	ctx context.Context, claim *corev1.PersistentVolumeClaim, class *storagev1.StorageClass,
) error {
	name := "pvc-" + string(claim.UID)
	folder := filepath.Join(all.folder, name)
	if err := os.MkdirAll(folder, 0o770); err != nil {
		return err
	}
	anywhere := corev1.NodeSelectorRequirement{Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpExists}
	volume := &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{provisionedBy: provisionerName}},
		Spec: corev1.PersistentVolumeSpec{
			AccessModes: claim.Spec.AccessModes,
			Capacity:    corev1.ResourceList{corev1.ResourceStorage: claim.Spec.Resources.Requests[corev1.ResourceStorage]},
			ClaimRef: &corev1.ObjectReference{
				APIVersion: "v1", Kind: "PersistentVolumeClaim",
				Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID,
			},
			PersistentVolumeReclaimPolicy: *class.ReclaimPolicy,
			StorageClassName:              class.Name,
			PersistentVolumeSource:        corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: folder}},
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{
				NodeSelectorTerms: []corev1.NodeSelectorTerm{
					{MatchExpressions: []corev1.NodeSelectorRequirement{anywhere}},
				},
			}},
		},
	}
	_, err := all.client.CoreV1().PersistentVolumes().Create(ctx, volume, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// The volume first, the claim after it, as a resizer does.
func (all *volumes) grow(ctx context.Context, claim *corev1.PersistentVolumeClaim) error {
	wanted := claim.Spec.Resources.Requests[corev1.ResourceStorage]
	if claim.Status.Phase != corev1.ClaimBound || wanted.Cmp(claim.Status.Capacity[corev1.ResourceStorage]) <= 0 {
		return nil
	}
	volume, err := all.made.Get(claim.Spec.VolumeName)
	if err != nil || !isOurs(volume) {
		return err
	}
	if wanted.Cmp(volume.Spec.Capacity[corev1.ResourceStorage]) > 0 {
		larger := volume.DeepCopy()
		larger.Spec.Capacity[corev1.ResourceStorage] = wanted
		if _, err := all.client.CoreV1().PersistentVolumes().Update(ctx, larger, metav1.UpdateOptions{}); err != nil {
			return err
		}
	}
	larger := claim.DeepCopy()
	larger.Status.Capacity[corev1.ResourceStorage] = wanted
	larger.Status.Conditions = nil
	_, err = all.client.CoreV1().PersistentVolumeClaims(claim.Namespace).UpdateStatus(ctx, larger, metav1.UpdateOptions{})
	return err
}

func (all *volumes) remove(ctx context.Context, volume *corev1.PersistentVolume) error {
	folder := filepath.Join(all.folder, volume.Name)
	if volume.Spec.Local == nil || volume.Spec.Local.Path != folder {
		return fmt.Errorf("it is not in %s", all.folder)
	}
	if err := os.RemoveAll(folder); err != nil {
		return err
	}
	err := all.client.CoreV1().PersistentVolumes().Delete(ctx, volume.Name, metav1.DeleteOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
